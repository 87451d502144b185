#pragma once
#include <leat/tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace leat::cpu {

/// Constants in the form in which kernels read them, packed once for all plans and lanes of a compiled model.
class Weights {
  public:
    /// What `make` made for the first caller with that constant and `form`.
    Tensor get(const Tensor &constant, const std::string &form, const std::function<Tensor()> &make)
    {
        std::lock_guard lock(mutex_);
        Entry &entry = entries_[{constant.raw(), form}];
        if (!entry.made)
            entry = {constant, make()};
        return entry.made;
    }

  private:
    struct Entry {
        Tensor constant; // keeps the address from being used again
        Tensor made;
    };
    std::mutex mutex_;
    std::map<std::pair<const std::byte *, std::string>, Entry> entries_;
};

} // namespace leat::cpu
