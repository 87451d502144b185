#include "strided.h"

#include <algorithm>
#include <numeric>

namespace leat::cpu {

int64_t Loops::turns(size_t loops) const
{
    int64_t product = 1;
    for (size_t i = 0; i < loops; i++)
        product *= sizes[i];
    return product;
}

int64_t Loops::count() const
{
    return turns(depth());
}

void Loops::simplify(size_t leader)
{
    std::vector<size_t> order;
    for (size_t i = 0; i < depth(); i++)
        if (sizes[i] != 1)
            order.push_back(i);
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return strides[leader][a] > strides[leader][b]; });

    Loops result;
    result.strides.resize(strides.size());
    for (size_t loop : order) {
        const bool merges = !result.sizes.empty() && [&] {
            for (size_t k = 0; k < strides.size(); k++)
                if (result.strides[k].back() != strides[k][loop] * sizes[loop])
                    return false;
            return true;
        }();
        if (merges) {
            result.sizes.back() *= sizes[loop];
            for (size_t k = 0; k < strides.size(); k++)
                result.strides[k].back() = strides[k][loop];
            continue;
        }
        result.sizes.push_back(sizes[loop]);
        for (size_t k = 0; k < strides.size(); k++)
            result.strides[k].push_back(strides[k][loop]);
    }
    if (result.sizes.empty()) {
        result.sizes.push_back(1);
        for (auto &each : result.strides)
            each.push_back(1);
    }
    *this = std::move(result);
}

void Loops::offsets(int64_t index, size_t loops, std::span<int64_t> offsets) const
{
    std::fill(offsets.begin(), offsets.end(), 0);
    const auto add = [&](size_t i, int64_t at) {
        for (size_t k = 0; k < offsets.size(); k++)
            offsets[k] += at * strides[k][i];
    };
    for (size_t i = loops; i-- > 1;) {
        add(i, index % sizes[i]);
        index /= sizes[i];
    }
    if (loops > 0)
        add(0, index);
}

} // namespace leat::cpu
