#pragma once
#include "inference/slab.h"
#include "inference/stored_model.h"

#include <leat/tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace leat::cpu {

/// A constant as a kernel reads it: known, or made by who asks first.
class Constant {
  public:
    Constant() = default;
    Constant(Tensor known) : known_(std::move(known)) {}
    /// The elements, when nobody has to make them; else null.
    const Tensor *known() const { return entry_ ? nullptr : &known_; }
    /// Waits for another thread that makes it. Throws what making it throws.
    Tensor tensor() const
    {
        if (!entry_)
            return known_;
        std::lock_guard lock(entry_->mutex);
        if (entry_->make) {
            entry_->made = entry_->make();
            entry_->make = nullptr;
        }
        return Tensor::view(entry_->made.type(), entry_->made.shape(), entry_->made.raw(), entry_);
    }

  private:
    friend class Weights;
    struct Entry {
        std::mutex mutex;             // guards what follows
        Tensor source;                // keeps the address from being used again
        std::function<Tensor()> make; ///< absent when it is made
        Tensor made;
    };
    Tensor known_;
    std::shared_ptr<Entry> entry_;

    explicit Constant(std::shared_ptr<Entry> entry) : entry_(std::move(entry)) {}
};

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

    /// What the first caller's `make` makes of that constant in that `form`, when somebody asks for it: a tensor of
    /// `type` and `shape`. It lives as long as somebody holds it. Throws Error when what was stored is another one.
    Constant later(const Tensor &constant, const std::string &form, Type type, const Shape &shape,
                   std::function<Tensor()> make)
    {
        Constant made = later(constant, form, std::move(make));
        if (const Tensor *known = made.known(); known && (known->type() != type || known->shape() != shape))
            throw Error("stored weights have another size than the kernel wants");
        return made;
    }

    /// The same at once, of whatever type and shape.
    Tensor get(const Tensor &constant, const std::string &form, std::function<Tensor()> make)
    {
        return later(constant, form, std::move(make)).tensor();
    }

    /// Whether all that is held was stored: nothing is to be made.
    bool are_stored()
    {
        std::lock_guard lock(mutex_);
        std::erase_if(entries_, [](const auto &entry) { return entry.second.expired(); });
        return entries_.empty();
    }

    /// Nobody will ask again: lets go of the constants that others were packed from.
    void close()
    {
        std::lock_guard lock(mutex_);
        for (const auto &[key, known] : entries_)
            if (const auto entry = known.lock()) {
                std::lock_guard held(entry->mutex);
                entry->source = {};
            }
        entries_.clear();
        stored_.clear();
    }

    /// Where large ones are made: all that is packed lies together.
    const std::shared_ptr<Slab> &memory() const { return memory_; }

    /// All that is made at present.
    std::vector<PackedConstant> entries()
    {
        std::lock_guard lock(mutex_);
        std::vector<PackedConstant> result;
        for (const auto &[key, each] : stored_)
            result.push_back(each);
        for (const auto &[key, known] : entries_)
            if (const auto entry = known.lock()) {
                std::lock_guard held(entry->mutex);
                if (!entry->make)
                    result.push_back({entry->source, key.second, entry->made});
            }
        return result;
    }

  private:
    const std::shared_ptr<Slab> memory_ = Slab::make();
    std::map<std::pair<const std::byte *, std::string>, PackedConstant> stored_;
    std::mutex mutex_; // guards what follows
    std::map<std::pair<const std::byte *, std::string>, std::weak_ptr<Constant::Entry>> entries_;

    Constant later(const Tensor &constant, const std::string &form, std::function<Tensor()> make)
    {
        std::lock_guard lock(mutex_);
        if (const auto known = stored_.find({constant.raw(), form}); known != stored_.end())
            return known->second.made;
        std::erase_if(entries_, [](const auto &entry) { return entry.second.expired(); });
        auto &known = entries_[{constant.raw(), form}];
        auto entry = known.lock();
        if (!entry) {
            entry = std::make_shared<Constant::Entry>();
            entry->source = constant;
            entry->make = std::move(make);
            known = entry;
        }
        return Constant(std::move(entry));
    }
};

} // namespace leat::cpu
