#include "errors.h"

namespace leat {
namespace {

struct Code {
    GQuark domain;
    int code;
};

Code code_of(Fault fault)
{
    switch (fault) {
    case Fault::property: return {GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_SETTINGS};
    case Fault::not_found: return {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND};
    case Fault::open: return {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_READ};
    case Fault::write: return {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_WRITE};
    case Fault::frame: return {GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED};
    }
    return {GST_CORE_ERROR, GST_CORE_ERROR_FAILED};
}

} // namespace

void post_error(GstElement *element, Fault fault, const std::string &sentence)
{
    const Code code = code_of(fault);
    gst_element_message_full(element, GST_MESSAGE_ERROR, code.domain, code.code, g_strdup(sentence.c_str()), nullptr,
                             __FILE__, __func__, __LINE__);
}

std::string sentence_of(const std::exception_ptr &error)
{
    try {
        std::rethrow_exception(error);
    } catch (const std::exception &exception) {
        return exception.what();
    } catch (...) {
        return "an error of unknown kind";
    }
}

} // namespace leat
