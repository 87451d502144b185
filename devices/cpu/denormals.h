#pragma once

// Numbers below 1.18e-38, which processors multiply at a hundredth of their speed. Trained models have some: weights of
// channels that learnt to be nothing, what gates close on, states of an LSTM that decay. Kernels that multiply take
// them for zero; others do not, as a logarithm or a quotient tells one from the other.
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
