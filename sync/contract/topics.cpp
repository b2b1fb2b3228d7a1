#include <algorithm>

#include <fmt/format.h>

#include "firmware/core/id.hpp"
#include "sync/contract/contract.hpp"

namespace hamlet::contract {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_path_word(std::string_view word) {
  return !word.empty() && word.size() <= 64 && std::all_of(word.begin(), word.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' || c == '_';
  });
}

Status check_gw(std::string_view gw) {
  if (is_id(gw)) return {};
  return fail(Errc::invalid,
              fmt::format("'{}' cannot be a gateway's id; 1 to 32 of a-z, 0-9 and '-' are expected", gw));
}

}  // namespace

std::string_view to_string(Lane lane) {
  switch (lane) {
    case Lane::alarm:
      return "alarm";
    case Lane::event:
      return "event";
    case Lane::tele:
      return "tele";
    case Lane::media:
      return "media";
  }
  return "tele";
}

std::optional<Lane> parse_lane(std::string_view text) {
  const auto* const found =
      std::find_if(kLanes.begin(), kLanes.end(), [&](Lane lane) { return to_string(lane) == text; });
  if (found == kLanes.end()) return {};
  return *found;
}

Result<Topics> Topics::from_division(std::string_view division, std::string gw) {
  if (division.size() != 12 || !std::all_of(division.begin(), division.end(), is_digit)) {
    return fail(Errc::invalid,
                fmt::format("'{}' is not a division code; 12 digits are expected, as in 430124104203", division));
  }
  if (auto status = check_gw(gw); !status) return fail(std::move(status).error());
  Topics topics;
  topics.base_ = fmt::format("hamlet/v{}/{}/{}/{}/{}", kVersion, division.substr(0, 6), division.substr(6, 3),
                             division.substr(9), gw);
  topics.gw_ = std::move(gw);
  return topics;
}

Result<Topics> Topics::from_path(std::span<const std::string> words, std::string gw) {
  if (words.size() != 3) {
    return fail(Errc::invalid,
                fmt::format("three path words are expected (county, town, village), {} were given", words.size()));
  }
  for (const auto& word : words) {
    if (is_path_word(word)) continue;
    return fail(
        Errc::invalid,
        fmt::format("'{}' cannot be part of a topic; 1 to 64 of A-Z, a-z, 0-9, '-' and '_' are expected", word));
  }
  if (auto status = check_gw(gw); !status) return fail(std::move(status).error());
  Topics topics;
  topics.base_ = fmt::format("hamlet/v{}/{}/{}/{}/{}", kVersion, words[0], words[1], words[2], gw);
  topics.gw_ = std::move(gw);
  return topics;
}

std::string Topics::at(std::string_view below) const {
  std::string topic;
  topic.reserve(base_.size() + 1 + below.size());
  return topic.append(base_).append(1, '/').append(below);
}

std::string media_name(std::string_view epoch, std::uint64_t seq) {
  return fmt::format("{}-{}", epoch, seq);
}

}  // namespace hamlet::contract
