#pragma once

namespace leat {

/// True in a build with AddressSanitizer or ThreadSanitizer, which looks at memory, not at numbers: one of many similar
/// cases will do there.
constexpr bool sanitized =
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    true;
#else
    false;
#endif

} // namespace leat
