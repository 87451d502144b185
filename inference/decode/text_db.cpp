#include "heads.h"

#include <algorithm>

namespace leat {

namespace {

constexpr float custom_threshold = 0.3f, no_suppression = -1;
constexpr int smallest_area = 30; ///< pixels; smaller regions are specks

std::string why_not(const ModelFacts &facts)
{
    if (std::string fault = miscount(facts, 1); !fault.empty())
        return fault;
    const Port *image = image_port(facts);
    if (!image || channels_of(*image) != 3)
        return "the picture input has no three channels";
    const auto [width, height] = picture_size(facts);
    const Shape want{1, 1, height ? height : any, width ? width : any};
    if (std::string fault = mismatch(facts.outputs[0], want); !fault.empty())
        return fault + " (one probability for each pixel of the picture)";
    if (knows_graph(facts) && !(facts.head_ops[0].size() > 0 && contains(facts.head_ops[0], "Sigmoid")))
        return "the graph does not end in a sigmoid";
    return {};
}

/// Saliency and matting models have the same output; Paddle's tensor names tell a text detector from them.
std::string doubt(const ModelFacts &facts)
{
    const std::string &name = facts.outputs[0].name;
    for (std::string_view paddle : {".tmp_", "fetch_name_", "save_infer_model/"})
        if (name.find(paddle) != std::string::npos)
            return {};
    return name == "maps" ? "" : "the map of probabilities may be of anything, such as saliency";
}

ImageSpec preprocessing(const ModelFacts &facts)
{
    return image_spec(facts, ColourOrder::rgb, imagenet, ResizeMode::stretch, 0, {960, 544});
}

std::vector<std::string> labels(const ModelFacts &)
{
    return {"text"};
}

/// Regions of pixels above the threshold that touch each other, corners included.
class Regions {
  public:
    Regions(const float *map, int width, int height, float threshold)
        : map_(map), width_(width), height_(height), threshold_(threshold), seen_(size_t(width) * size_t(height))
    {
    }

    std::vector<Object> all()
    {
        std::vector<Object> found;
        for (int y = 0; y < height_; y++)
            for (int x = 0; x < width_; x++)
                if (enter(x, y))
                    if (Object region = fill(); area_ >= smallest_area)
                        add(found, std::move(region));
        return found;
    }

  private:
    struct Pixel {
        int x, y;
    };

    /// Puts the pixel on the stack the first time it is met, when it is above the threshold.
    bool enter(int x, int y)
    {
        const size_t i = size_t(y) * size_t(width_) + size_t(x);
        if (!(map_[i] > threshold_) || seen_[i])
            return false;
        seen_[i] = 1;
        stack_.push_back({x, y});
        return true;
    }

    Object fill()
    {
        Object region{float(width_), float(height_), 0, 0, 0, 0, {}};
        for (area_ = 0; !stack_.empty(); area_++) {
            const auto [x, y] = stack_.back();
            stack_.pop_back();
            region.x1 = std::min(region.x1, float(x));
            region.y1 = std::min(region.y1, float(y));
            region.x2 = std::max(region.x2, float(x + 1));
            region.y2 = std::max(region.y2, float(y + 1));
            region.score = std::max(region.score, map_[size_t(y) * size_t(width_) + size_t(x)]);
            for (int ny = std::max(0, y - 1); ny <= std::min(height_ - 1, y + 1); ny++)
                for (int nx = std::max(0, x - 1); nx <= std::min(width_ - 1, x + 1); nx++)
                    enter(nx, ny);
        }
        return region;
    }

    const float *map_;
    const int width_, height_;
    const float threshold_;
    std::vector<char> seen_;
    std::vector<Pixel> stack_;
    int area_ = 0;
};

/// The shrunk text kernels of Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", 2020: one
/// box around each, scored by its most probable pixel.
Results decode(const ModelFacts &facts, const ImageSpec &spec, const DecodeOptions &options,
               std::span<const Tensor> outputs)
{
    const Tensor map = read_output(facts, outputs, 0, {1, 1, spec.height, spec.width});
    Regions regions(map.data<float>(), spec.width, spec.height, threshold_of(options, custom_threshold));
    return detections(regions.all(), options, no_suppression);
}

std::string assumptions(const ModelFacts &facts)
{
    const auto [width, height] = picture_size(facts);
    return width && height ? "" : "the file leaves the picture's size open: 960x544 is assumed where it does";
}

} // namespace

extern const Decoder text_db{
    .name = "text-db",
    .about = "PaddleOCR's text detector DB: the shrunk region of each piece of text, with its highest probability",
    .task = Task::detect,
    .why_not = why_not,
    .doubt = doubt,
    .preprocessing = preprocessing,
    .labels = labels,
    .constants = no_constants,
    .decode = decode,
    .assumptions = assumptions,
};

} // namespace leat
