#include "firmware/config/gateway.hpp"

#include <algorithm>

#include "firmware/config/texts.hpp"

namespace hamlet::config {
namespace {

// sockaddr_un holds 108 bytes, the last a zero.
constexpr std::size_t kMaxSocketPath = 107;

std::filesystem::path absolute_path(const Table& table, std::string_view key, const std::filesystem::path& fallback) {
  std::filesystem::path path = table.text_or(key, fallback.string());
  if (!path.is_absolute()) table.error(key, texts::want_absolute());
  return path;
}

}  // namespace

Gateway read_gateway(const Table& root) {
  Gateway out;
  const auto table = root.table("gateway");
  if (!table.exists()) {
    root.error("gateway", texts::no_gateway());
  } else {
    out.id = table.id("id");
    out.division = table.text_or("division", "");
    out.path = table.texts_or("path");
    if (out.division.empty() == out.path.empty()) {
      table.error("division", texts::division_or_path());
    }
  }
  out.name = table.both_or("name", Text{out.id, out.id});
  out.state_dir = absolute_path(table, "state_dir", out.state_dir);
  out.run_dir = absolute_path(table, "run_dir", out.run_dir);
  if (out.control_socket().string().size() > kMaxSocketPath) {
    table.error("run_dir", texts::run_dir_too_long());
  }
  out.trust_clock = table.flag_or("trust_clock", false);
  out.start_eyes = table.flag_or("start_eyes", true);
  const auto verbs = root.table("county").texts_or("verbs");
  out.county_verbs = {verbs.begin(), verbs.end()};
  const auto tables = root.table("county").texts_or("tables");
  out.county_tables = {tables.begin(), tables.end()};
  return out;
}

}  // namespace hamlet::config
