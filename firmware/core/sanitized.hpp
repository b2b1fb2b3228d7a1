#pragma once

#if !defined(__has_feature) // clang's way to say so; g++ defines macros
#define __has_feature(feature) 0
#endif

namespace hamlet {

/// Built with the address or thread sanitizer: its runtime makes calls of its own and keeps what was freed for a while.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) || \
    __has_feature(thread_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace hamlet
