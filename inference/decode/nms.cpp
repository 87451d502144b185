#include "decoder.h"

#include <algorithm>
#include <tuple>

namespace leat {

namespace {

float area(const Object &o)
{
    return std::max(0.f, o.x2 - o.x1) * std::max(0.f, o.y2 - o.y1);
}

/// A total order, so that the result does not depend on the order of the input.
bool comes_first(const Object &a, const Object &b)
{
    return std::make_tuple(-a.score, a.label_id, a.x1, a.y1, a.x2, a.y2) <
           std::make_tuple(-b.score, b.label_id, b.x1, b.y1, b.x2, b.y2);
}

} // namespace

float intersection_over_union(const Object &a, const Object &b)
{
    const float width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
    const float height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
    if (!(width > 0 && height > 0))
        return 0;
    const float common = width * height;
    return common / (area(a) + area(b) - common);
}

void suppress(std::vector<Object> &objects, float iou_threshold, bool across_classes)
{
    std::sort(objects.begin(), objects.end(), comes_first);
    size_t kept = 0;
    for (size_t i = 0; i < objects.size(); i++) {
        const auto hides = [&](const Object &better) {
            return (across_classes || better.label_id == objects[i].label_id) &&
                   intersection_over_union(better, objects[i]) > iou_threshold;
        };
        if (std::any_of(objects.begin(), objects.begin() + std::ptrdiff_t(kept), hides))
            continue;
        if (kept != i)
            objects[kept] = std::move(objects[i]);
        kept++;
    }
    objects.resize(kept);
}

} // namespace leat
