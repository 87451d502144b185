#pragma once
#include <leat/tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace leat::cpu {

/// Constants in the form in which kernels read them, packed once for all plans and lanes of a compiled model that use
/// them at the same time.
class Weights {
  public:
    /// What `make` made for the first caller with that constant and `form`. It lives as long as somebody holds it.
    Tensor get(const Tensor &constant, const std::string &form, const std::function<Tensor()> &make)
    {
        std::lock_guard lock(mutex_);
        std::erase_if(entries_, [](const auto &entry) { return entry.second.expired(); });
        auto &known = entries_[{constant.raw(), form}];
        auto entry = known.lock();
        if (!entry)
            known = entry = std::make_shared<Entry>(Entry{constant, make()});
        return Tensor::view(entry->made.type(), entry->made.shape(), entry->made.raw(), entry);
    }

  private:
    struct Entry {
        Tensor constant; // keeps the address from being used again
        Tensor made;
    };
    std::mutex mutex_;
    std::map<std::pair<const std::byte *, std::string>, std::weak_ptr<Entry>> entries_;
};

} // namespace leat::cpu
