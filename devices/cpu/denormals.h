#pragma once

// Numbers below 1.18e-38, which processors compute with at a hundredth of their speed. Trained weights hold some: those
// of channels that learnt to be nothing, and the states of an LSTM decay to them. What products make of them vanishes
// in the sums.
namespace leat::cpu {

/// Whether the calling thread takes f32 numbers below 1.18e-38 for zero. Always false on other processors than x86-64.
bool denormals_are_zero();

/// Has the calling thread take them for zero, or not, as long as it lives.
class DenormalsAsZero {
  public:
    explicit DenormalsAsZero(bool zero = true);
    ~DenormalsAsZero();
    DenormalsAsZero(const DenormalsAsZero &) = delete;
    DenormalsAsZero &operator=(const DenormalsAsZero &) = delete;

  private:
    const bool before_;
};

} // namespace leat::cpu
