#include "firmware/control/args.hpp"

#include "firmware/control/texts.hpp"

namespace hamlet::control {

const nlohmann::json* Args::ask(std::string_view key) {
  asked_.emplace(key);
  if (!args_.is_object()) return nullptr;
  const auto found = args_.find(key);
  return found == args_.end() || found->is_null() ? nullptr : &*found;
}

void Args::note(Text text) {
  if (!wrong_) wrong_ = Failure{Errc::invalid, std::move(text)};
}

std::string Args::text(std::string_view key) {
  auto value = text_or(key, {});
  if (value.empty()) note(texts::arg_missing(key));
  return value;
}

nlohmann::json Args::value(std::string_view key) {
  const auto* value = ask(key);
  if (value == nullptr) {
    note(texts::arg_missing(key));
  } else if (value->is_boolean() || (value->is_string() && !value->get_ref<const std::string&>().empty())) {
    return *value;
  } else {
    note(texts::arg_not_value(key));
  }
  return {};
}

std::string Args::text_or(std::string_view key, std::string fallback) {
  const auto* value = ask(key);
  if (value == nullptr) return fallback;
  if (value->is_string() && !value->get_ref<const std::string&>().empty()) return value->get<std::string>();
  note(texts::arg_not_text(key));
  return fallback;
}

std::optional<std::int64_t> Args::integer_if(std::string_view key, std::int64_t min, std::int64_t max) {
  const auto* value = ask(key);
  if (value == nullptr) return {};
  const bool fits =
      value->is_number_integer() &&
      (!value->is_number_unsigned() ||
       value->get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
  if (fits && value->get<std::int64_t>() >= min && value->get<std::int64_t>() <= max) return value->get<std::int64_t>();
  note(texts::arg_not_integer(key, min, max));
  return {};
}

std::int64_t Args::integer_or(std::string_view key, std::int64_t fallback, std::int64_t min, std::int64_t max) {
  return integer_if(key, min, max).value_or(fallback);
}

std::optional<Failure> Args::wrong() {
  if (wrong_ || !args_.is_object()) return wrong_;
  for (const auto& [key, value] : args_.items()) {
    if (!asked_.contains(key)) note(texts::arg_unknown(key));
  }
  return wrong_;
}

}  // namespace hamlet::control
