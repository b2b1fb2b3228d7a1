// Precompiled for every room: what nearly all of their files include.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <tl/expected.hpp>

// The library's literal "{}"_json, which nobody here uses, would compile its parser in every file: two thirds of a second each,
// a seventh of a clean build. It is deleted, and its body becomes a template that nobody calls.
#define _json(a, b) _json(const char*, std::size_t) = delete; inline auto without_literal(auto s, auto n)
#include <nlohmann/json.hpp>
#undef _json

// JSON is compiled once, in json.cpp.
extern template class nlohmann::basic_json<>;
extern template class nlohmann::detail::serializer<nlohmann::json>;
