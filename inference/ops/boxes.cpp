#include "inference/ops/boxes.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace leat {

Box clipped(const Box &box, float width, float height)
{
    auto inside = [](float value, float limit) { return std::max(0.f, std::min(limit, value)); };
    auto number = [](float value) { return std::isnan(value) ? 0.f : value; };
    return {inside(number(box.x1), width), inside(number(box.y1), height), inside(number(box.x2), width),
            inside(number(box.y2), height)};
}

Box refined(const Box &anchor, const BoxArea &area, float dx, float dy, float dw, float dh)
{
    const float width = area.width(anchor), height = area.height(anchor);
    const float x = anchor.x1 + 0.5f * width + dx * width, y = anchor.y1 + 0.5f * height + dy * height;
    const float half_width = 0.5f * std::exp(dw) * width, half_height = 0.5f * std::exp(dh) * height;
    return {x - half_width, y - half_height, x + half_width - area.last, y + half_height - area.last};
}

void keep_best(std::vector<ScoredIndex> &candidates, int64_t most)
{
    const auto before = [](const ScoredIndex &a, const ScoredIndex &b) { return ranks_before(a, b); };
    const int64_t count = most < 0 ? std::ssize(candidates) : std::min(most, std::ssize(candidates));
    if (count < std::ssize(candidates)) {
        std::nth_element(candidates.begin(), candidates.begin() + count, candidates.end(), before);
        candidates.resize(static_cast<size_t>(count));
    }
    std::sort(candidates.begin(), candidates.end(), before);
}

float sortable(float score)
{
    return std::isnan(score) ? -std::numeric_limits<float>::infinity() : score;
}

int64_t whole(float value, int64_t low, int64_t high)
{
    if (!(value > static_cast<float>(low)))
        return low;
    return value >= static_cast<float>(high) ? high : static_cast<int64_t>(value);
}

void want_shape(const std::optional<Shape> &shape, size_t input, const Shape &wanted, const char *meaning)
{
    if (!shape)
        return;
    bool fits = shape->size() == wanted.size();
    for (size_t i = 0; fits && i < wanted.size(); i++)
        fits = wanted[i] < 0 || (*shape)[i] < 0 || (*shape)[i] == wanted[i];
    if (!fits)
        throw Error("input " + std::to_string(input) + " has the shape " + to_string(*shape) + ", want " +
                    to_string(wanted) + " (" + meaning + ")");
}

void check_rows(int64_t rows)
{
    constexpr int64_t most = int64_t(1) << 24;
    if (rows > most)
        throw Error("the result has " + std::to_string(rows) + " rows, want no more than " + std::to_string(most));
}

int64_t known_product(const Shape &sizes)
{
    return is_static(sizes) ? count_of(sizes) : -1;
}

} // namespace leat
