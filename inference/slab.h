#pragma once
#include <leat/tensor.h>

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace leat {

/// Memory for the weights of one model: many tensors that come together and go one by one. They lie side by side in
/// huge pages, as each page of its own would cost a fault when a model is loaded and a look into the page tables when
/// it runs. A huge page goes back to the system when its last tensor goes. Any thread may use it.
class Slab : public std::enable_shared_from_this<Slab> {
  public:
    static std::shared_ptr<Slab> make();
    ~Slab();
    Slab(const Slab &) = delete;
    Slab &operator=(const Slab &) = delete;

    /// So many bytes more will be asked for, about: where they fill no huge page, small ones are used.
    void expect(size_t bytes);
    /// As Tensor(type, shape), aligned as that; the elements are not initialised. It may outlive all others that hold
    /// the slab. Throws Error as Tensor does.
    Tensor allocate(Type, const Shape &);

  private:
    struct Block;

    Slab();
    Tensor view(Type, const Shape &, size_t bytes);
    void let_go(Block &, size_t begin, size_t end);

    std::mutex mutex_; // guards what follows
    std::vector<std::unique_ptr<Block>> blocks_;
    size_t expected_ = 0;
};

} // namespace leat
