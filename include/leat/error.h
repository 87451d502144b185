#pragma once
#include <stdexcept>
#include <string>
#include <utility>

namespace leat {

/// The one exception of Leat: a sentence that names the file, node or property at fault, and the cure.
///
/// Thrown by reading, compiling and property setting. Nothing is thrown across threads while frames run: see
/// Job::error.
class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// What cannot be done with a request while it runs.
class Busy : public Error {
  public:
    using Error::Error;
};

/// How an inference ends that was cancelled, and what cannot be done with its request before it has ended.
class Cancelled : public Error {
  public:
    using Error::Error;
};

/// Runs `body` and puts `context` in front of any Error that it throws: `while reading "m.onnx": node "Conv_3": …`.
template <class Body> auto in_context(const std::string &context, Body &&body) -> decltype(body())
{
    try {
        return std::forward<Body>(body)();
    } catch (const Error &error) {
        throw Error(context + ": " + error.what());
    }
}

} // namespace leat
