#pragma once
#include "inference/ops/walk.h"

#include <algorithm>
#include <span>
#include <vector>

// What the families that detect objects share: boxes, their overlap, and which of them survive.

namespace leat {

/// A box by its corners, in pixels or as fractions of the picture.
struct Box {
    float x1 = 0, y1 = 0, x2 = 0, y2 = 0;
};

/// The four numbers from `corners` on.
inline Box box_of(const float *corners)
{
    return {corners[0], corners[1], corners[2], corners[3]};
}

/// Each corner moved into [0, width] and [0, height]; NaN becomes 0.
Box clipped(const Box &, float width, float height);

/// How the sizes of boxes are counted: a box that ends on the pixel it starts on is `last` wide, 1 where corners name
/// whole pixels, 0 where they are points.
struct BoxArea {
    float last = 0;
    float width(const Box &box) const { return box.x2 - box.x1 + last; }
    float height(const Box &box) const { return box.y2 - box.y1 + last; }
    /// 0 for a box whose corners are swapped.
    float of(const Box &box) const { return box.x2 < box.x1 || box.y2 < box.y1 ? 0 : width(box) * height(box); }
    /// Intersection over union of boxes of those areas; 0 for boxes that do not touch.
    float overlap(const Box &a, float area_a, const Box &b, float area_b) const
    {
        if (a.x2 < b.x1 || b.x2 < a.x1 || a.y2 < b.y1 || b.y2 < a.y1)
            return 0;
        const float shared =
            of({std::max(a.x1, b.x1), std::max(a.y1, b.y1), std::min(a.x2, b.x2), std::min(a.y2, b.y2)});
        return shared > 0 ? shared / (area_a + area_b - shared) : 0;
    }
    float overlap(const Box &a, const Box &b) const { return overlap(a, of(a), b, of(b)); }
};

/// What a network says of the anchor with the centre (x, y): the centre moves by (dx, dy) times the anchor's size,
/// which grows by exp(dw) and exp(dh). The result reaches `area.last` less far to the right and below.
Box refined(const Box &anchor, const BoxArea &, float dx, float dy, float dw, float dh);

/// A candidate and its score.
struct ScoredIndex {
    float score = 0;
    int64_t index = 0;
};

/// Descending by score, then ascending by index. The scores must not be NaN.
inline bool ranks_before(const ScoredIndex &a, const ScoredIndex &b)
{
    return a.score > b.score || (a.score == b.score && a.index < b.index);
}
/// Sorts and keeps the best `most`; all when that is negative.
void keep_best(std::vector<ScoredIndex> &, int64_t most);
/// As a score that can be sorted: NaN comes last.
float sortable(float score);

/// Which overlap is too much.
struct OverlapLimit {
    float threshold = 0;
    float eta = 1;          ///< below 1, each survivor multiplies a threshold above 0.5 by it
    bool inclusive = false; ///< an overlap of just the threshold is too much
    bool exceeded(float overlap) const { return inclusive ? overlap >= threshold : overlap > threshold; }
    void adapt() { threshold *= eta < 1 && threshold > 0.5f ? eta : 1; }
};

/// Greedy non-maximum suppression: of the candidates in their order, those that do not overlap an earlier survivor too
/// much; no more than `most` of them, all when that is negative. `box(index)` gives the box.
template <class BoxAt>
std::vector<ScoredIndex> suppress(std::span<const ScoredIndex> candidates, const BoxArea &area, OverlapLimit limit,
                                  int64_t most, BoxAt box)
{
    std::vector<ScoredIndex> kept;
    std::vector<Box> boxes;
    std::vector<float> areas;
    for (const ScoredIndex &candidate : candidates) {
        if (most >= 0 && std::ssize(kept) >= most)
            break;
        const Box mine = box(candidate.index);
        const float my_area = area.of(mine);
        bool free = true;
        for (size_t i = 0; free && i < boxes.size(); i++)
            free = !limit.exceeded(area.overlap(mine, my_area, boxes[i], areas[i]));
        if (!free)
            continue;
        limit.adapt();
        kept.push_back(candidate);
        boxes.push_back(mine);
        areas.push_back(my_area);
    }
    return kept;
}

/// A float as a whole number in [low, high]; NaN becomes `low`.
int64_t whole(float value, int64_t low, int64_t high);

/// Throws Error that names the input unless its shape, where it is known, has these sizes; -1 stands for any.
void want_shape(const std::optional<Shape> &, size_t input, const Shape &wanted, const char *meaning);

/// Nothing known: -1.
inline int64_t size_or_unknown(const std::optional<Shape> &shape, size_t axis)
{
    return shape && axis < shape->size() ? (*shape)[axis] : -1;
}

/// Throws Error when a result would have more rows than any detector makes, before it is allocated. -1 passes.
void check_rows(int64_t rows);

/// Sizes [a, b, …] multiplied, -1 when one is not known. Throws Error when the product does not fit.
int64_t known_product(const Shape &);

} // namespace leat
