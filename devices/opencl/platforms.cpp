#include "devices/hardware.h"

#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl.h>
#include <CL/cl_ext.h>

#include <sstream>

namespace leat {
namespace {

constexpr const char *no_kernels = "Leat has no OpenCL kernels yet; models run on CPU.";

/// The extensions that decide whether frames can be shared without a copy, and what kernels could use.
constexpr const char *interesting_extensions[] = {
    "cl_intel_va_api_media_sharing",
    "cl_khr_external_memory_dma_buf",
    "cl_khr_fp16",
    "cl_khr_subgroups",
    "cl_intel_subgroups",
};

struct TypeName {
    cl_device_type bit;
    const char *name;
};
constexpr TypeName type_names[] = {
    {CL_DEVICE_TYPE_CPU, "CPU"},
    {CL_DEVICE_TYPE_GPU, "GPU"},
    {CL_DEVICE_TYPE_ACCELERATOR, "accelerator"},
    {CL_DEVICE_TYPE_CUSTOM, "custom"},
};

/// What clGetPlatformInfo or clGetDeviceInfo holds as text; empty where the driver refuses.
template <class Get, class Object, class Info> std::string text(Get get, Object object, Info info)
{
    size_t size = 0;
    if (get(object, info, 0, nullptr, &size) != CL_SUCCESS || size == 0)
        return {};
    std::string value(size, '\0');
    if (get(object, info, size, value.data(), nullptr) != CL_SUCCESS)
        return {};
    return value.substr(0, value.find('\0'));
}

template <class T> T number(cl_device_id device, cl_device_info info)
{
    T value{};
    return clGetDeviceInfo(device, info, sizeof value, &value, nullptr) == CL_SUCCESS ? value : T{};
}

std::string type_of(cl_device_id device)
{
    const auto bits = number<cl_device_type>(device, CL_DEVICE_TYPE);
    for (const TypeName &type : type_names)
        if (bits & type.bit)
            return type.name;
    return "device of an unknown type";
}

/// Whole words only: cl_khr_external_memory is also the start of longer names.
std::string present(const std::string &extensions)
{
    std::string found;
    for (const char *wanted : interesting_extensions)
        if ((" " + extensions + " ").find(" " + std::string(wanted) + " ") != std::string::npos)
            found += (found.empty() ? "" : ", ") + std::string(wanted);
    return found.empty() ? "none for sharing frames, fp16 or subgroups" : found;
}

Accelerator describe(cl_platform_id platform, cl_device_id device)
{
    std::ostringstream line;
    line << type_of(device) << " of " << text(clGetDeviceInfo, device, CL_DEVICE_VENDOR) << ", "
         << text(clGetDeviceInfo, device, CL_DEVICE_VERSION) << ", platform "
         << text(clGetPlatformInfo, platform, CL_PLATFORM_NAME) << ", "
         << number<cl_uint>(device, CL_DEVICE_MAX_COMPUTE_UNITS) << " compute units, "
         << (number<cl_ulong>(device, CL_DEVICE_GLOBAL_MEM_SIZE) >> 20)
         << " MiB, extensions: " << present(text(clGetDeviceInfo, device, CL_DEVICE_EXTENSIONS));
    return {text(clGetDeviceInfo, device, CL_DEVICE_NAME), line.str(), no_kernels};
}

void add_devices(cl_platform_id platform, std::vector<Accelerator> &accelerators)
{
    cl_uint count = 0;
    if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &count) != CL_SUCCESS || count == 0)
        return;
    std::vector<cl_device_id> devices(count);
    if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, count, devices.data(), nullptr) != CL_SUCCESS)
        return;
    for (cl_device_id device : devices)
        accelerators.push_back(describe(platform, device));
}

} // namespace

AcceleratorInterface opencl_platforms()
{
    AcceleratorInterface found{"OpenCL", {}, {}};
    cl_uint count = 0;
    const cl_int status = clGetPlatformIDs(0, nullptr, &count);
    if (status == CL_PLATFORM_NOT_FOUND_KHR || (status == CL_SUCCESS && count == 0)) {
        found.absent = "No OpenCL driver is installed.";
        return found;
    }
    std::vector<cl_platform_id> platforms(status == CL_SUCCESS ? count : 0);
    if (status != CL_SUCCESS || clGetPlatformIDs(count, platforms.data(), nullptr) != CL_SUCCESS) {
        found.absent = "OpenCL does not list its platforms (error " + std::to_string(status) + ").";
        return found;
    }
    for (cl_platform_id platform : platforms)
        add_devices(platform, found.accelerators);
    if (found.accelerators.empty())
        found.absent = "The OpenCL drivers that are installed have no devices.";
    return found;
}

} // namespace leat
