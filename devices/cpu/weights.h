#pragma once
#include "inference/stored_model.h"

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
    Weights() = default;
    /// With what was packed in an earlier process.
    explicit Weights(std::vector<PackedConstant> stored)
    {
        for (PackedConstant &each : stored) {
            const std::byte *address = each.source.raw();
            stored_.try_emplace({address, each.form}, std::move(each));
        }
    }

    /// What `make` made for the first caller with that constant and `form`. It lives as long as somebody holds it.
    Tensor get(const Tensor &constant, const std::string &form, const std::function<Tensor()> &make)
    {
        std::lock_guard lock(mutex_);
        if (const auto known = stored_.find({constant.raw(), form}); known != stored_.end())
            return known->second.made;
        std::erase_if(entries_, [](const auto &entry) { return entry.second.expired(); });
        auto &known = entries_[{constant.raw(), form}];
        auto entry = known.lock();
        if (!entry)
            known = entry = std::make_shared<Entry>(Entry{constant, make()});
        return Tensor::view(entry->made.type(), entry->made.shape(), entry->made.raw(), entry);
    }

    /// Nobody will ask again: lets go of the constants that others were packed from.
    void close()
    {
        std::lock_guard lock(mutex_);
        for (const auto &[key, known] : entries_)
            if (const auto entry = known.lock())
                entry->constant = {};
        entries_.clear();
        stored_.clear();
    }

    /// All that is packed at present.
    std::vector<PackedConstant> entries()
    {
        std::lock_guard lock(mutex_);
        std::vector<PackedConstant> result;
        for (const auto &[key, each] : stored_)
            result.push_back(each);
        for (const auto &[key, known] : entries_)
            if (const auto entry = known.lock())
                result.push_back({entry->constant, key.second, entry->made});
        return result;
    }

  private:
    struct Entry {
        Tensor constant; // keeps the address from being used again
        Tensor made;
    };
    std::map<std::pair<const std::byte *, std::string>, PackedConstant> stored_;
    std::mutex mutex_; // guards what follows
    std::map<std::pair<const std::byte *, std::string>, std::weak_ptr<Entry>> entries_;
};

} // namespace leat::cpu
