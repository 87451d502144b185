// A picture in, objects or classes out.
//
// picture MODEL PICTURE.ppm      (binary PPM, as `convert dog.jpg dog.ppm` writes it)

#include <leat/error.h>
#include <leat/vision.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace {

leat::Image read_ppm(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    std::string magic;
    int width = 0, height = 0, most = 0;
    file >> magic >> width >> height >> most;
    file.get();
    if (magic != "P6" || width < 1 || height < 1 || width > 65536 || height > 65536 || most != 255)
        throw leat::Error("\"" + path + "\" is not a binary PPM of 8 bits");
    const auto pixels =
        std::make_shared<std::vector<uint8_t>>(3 * static_cast<size_t>(width) * static_cast<size_t>(height));
    if (!file.read(reinterpret_cast<char *>(pixels->data()), static_cast<std::streamsize>(pixels->size())))
        throw leat::Error("\"" + path + "\" ends before its last pixel");
    leat::Image picture;
    picture.format = leat::PixelFormat::rgb;
    picture.width = width;
    picture.height = height;
    picture.planes[0] = {pixels->data(), 3 * static_cast<ptrdiff_t>(width)};
    picture.owner = pixels;
    return picture;
}

void run(const char *model_path, const char *picture_path)
{
    // Everything else follows from the file: size, colour order, normalisation, and how the outputs are read.
    const leat::VisionModel model(model_path);
    leat::InferRequest request = model.make_request();
    model.set_frame(request, read_ppm(picture_path));
    request.infer();
    if (model.detects())
        for (const leat::Detection &found : model.detections(request))
            std::printf("%s %.2f at %.0f,%.0f %.0fx%.0f\n", found.label.c_str(), found.score, found.box.x, found.box.y,
                        found.box.width, found.box.height);
    else
        for (const leat::ClassScore &found : model.classes(request))
            std::printf("%s %.3f\n", found.label.c_str(), found.score);
}

} // namespace

int main(int count, char **arguments)
{
    if (count != 3) {
        std::fprintf(stderr, "usage: picture MODEL PICTURE.ppm\n");
        return 2;
    }
    try {
        run(arguments[1], arguments[2]);
    } catch (const leat::Error &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
