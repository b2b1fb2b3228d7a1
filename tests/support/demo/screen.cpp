#include "tests/support/demo/screen.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "firmware/core/text.hpp"
#include "tests/support/demo/village.hpp"

namespace hamlet::demo {
namespace {

using nlohmann::json;

constexpr std::size_t kBarColumns = 40;

std::size_t filled(double part, std::size_t columns) {
  return static_cast<std::size_t>(std::lround(std::clamp(part, 0.0, 1.0) * static_cast<double>(columns)));
}

/// A bar with a mark where the limit is, if any.
std::string bar(double part, std::optional<double> limit = std::nullopt) {
  const auto full = filled(part, kBarColumns);
  const auto mark = limit ? filled(*limit, kBarColumns) : kBarColumns;
  std::string text;
  for (std::size_t column = 0; column < kBarColumns; ++column) {
    text += column < full ? "█" : column == mark ? "│" : "░";
  }
  return text;
}

std::string clock_text(Millis time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time).count();
  return fmt::format("{:02}:{:02}", seconds / 60, seconds % 60);
}

std::string number(const Feed::Contents& feed, const std::string& point, std::string_view unit) {
  const auto found = feed.points.find(point);
  if (found == feed.points.end() || !found->second.value.is_number()) return fmt::format("- {}", unit);
  return fmt::format("{:.2f} {}", found->second.value.get<double>(), unit);
}

std::string flag(const Feed::Contents& feed, const std::string& point, std::string_view yes, std::string_view no) {
  const auto found = feed.points.find(point);
  if (found == feed.points.end() || !found->second.value.is_boolean()) return "-";
  return std::string{found->second.value.get<bool>() ? yes : no};
}

double level(const Feed::Contents& feed) {
  const auto found = feed.points.find("river.level");
  return found != feed.points.end() && found->second.value.is_number() ? found->second.value.get<double>() : 0;
}

/// The alarms that call for somebody, as the county's retained snapshots have them.
std::vector<std::string> active_alarms(const support::County::Snapshot& county) {
  std::vector<std::string> lines;
  for (const auto& [id, alarm] : county.alarms) {
    const auto state = alarm.value("state", "normal");
    if (state != "unacked" && state != "acked" && state != "returned") continue;
    const auto text = alarm.value("text", json::object());
    lines.push_back(fmt::format("{} · {}  ({}, {})", text.value("zh", ""), text.value("en", ""),
                                alarm.value("severity", ""), state));
  }
  return lines;
}

std::string link_text(const View& view) {
  if (!view.link_since) return "up";
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*view.link_since).count();
  if (!view.link_up) return fmt::format("CUT since {} s: the box keeps everything", seconds);
  return fmt::format("back since {} s: the backlog {}", seconds, view.backlog > 0 ? "drains" : "is gone");
}

std::string account_text(const View& view) {
  std::uint64_t journaled = 0;
  std::uint64_t received = 0;
  for (const auto& lane : view.lanes) {
    journaled += lane.journaled;
    received += lane.received;
  }
  return fmt::format("journaled {}, received {}, backlog {}", journaled, received, view.backlog);
}

/// At most `columns` wide; wide characters are counted as such.
std::string clip(const std::string& text, std::size_t columns) {
  if (display_width(text) <= columns) return text;
  std::string clipped = text;
  while (display_width(clipped) > columns) {
    do {
      clipped.pop_back();
    } while (!is_utf8(clipped));
  }
  return clipped;
}

enum class Style : std::size_t { plain, faint, bold, good, bad };
struct Line {
  Style style = Style::plain;
  std::string text;
};
using Lines = std::vector<Line>;

void add_head(Lines& lines, const View& view) {
  const auto total = view.total ? fmt::format(" of {}", clock_text(*view.total)) : ", Ctrl-C ends it";
  lines.push_back({Style::bold, fmt::format("Hamlet: what the county receives of 河口村 River mouth    {}{}",
                                            clock_text(view.elapsed), total)});
  lines.push_back({view.link_up ? Style::good : Style::bad, "link     " + link_text(view)});
  lines.push_back({});
}

void add_village(Lines& lines, const View& view) {
  const auto& feed = view.feed;
  lines.push_back({Style::plain, fmt::format("level    {} {}", bar(level(feed) / kLevelTop, kLevelLimit / kLevelTop),
                                             number(feed, "river.level", "m"))});
  lines.push_back(
      {Style::plain,
       fmt::format("         rain {}   pump {}   pump house door {}", number(feed, "river.rain", "mm"),
                   flag(feed, "pump-house.pump", "on", "off"), flag(feed, "pump-house.door", "open", "shut"))});
  // Two lines at least, so that the rest keeps its place when an alarm comes.
  const auto alarms = active_alarms(view.county);
  lines.push_back(alarms.empty() ? Line{Style::plain, "alarm    none"}
                                 : Line{Style::bad, "alarm    " + alarms.front()});
  for (std::size_t i = 1; i < std::max<std::size_t>(alarms.size(), 2); ++i) {
    lines.push_back({Style::bad, i < alarms.size() ? "         " + alarms[i] : ""});
  }
  const auto pictures = view.lanes.at(contract::index(contract::Lane::media)).received;
  lines.push_back({Style::plain, fmt::format("camera   {} pictures, {} kB", pictures, view.county.media_bytes / 1024)});
  lines.push_back({});
}

void add_lanes(Lines& lines, const View& view, std::uint64_t most_backlog) {
  const auto table = to_table(view.lanes);
  for (std::size_t begin = 0, end = 0; (end = table.find('\n', begin)) != std::string::npos; begin = end + 1) {
    lines.push_back({begin == 0 ? Style::faint : Style::plain, "  " + table.substr(begin, end - begin)});
  }
  const auto part = static_cast<double>(view.backlog) / static_cast<double>(most_backlog);
  lines.push_back({view.backlog > 0 ? Style::bold : Style::plain,
                   fmt::format("backlog  {} {}", bar(part),
                               view.box_answers ? fmt::to_string(view.backlog) : "the box does not answer yet")});
  lines.push_back({});
}

struct Size {
  std::size_t rows = 24;
  std::size_t columns = 80;
};
Size terminal_size() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return {};
  return {.rows = size.ws_row, .columns = size.ws_col};
}

}  // namespace

Screen::Screen(std::string hint) : hint_{std::move(hint)}, terminal_{isatty(STDOUT_FILENO) == 1} {
  // Clears, and hides the cursor.
  if (terminal_) fmt::print("\033[2J\033[H\033[?25l");
}

Screen::~Screen() {
  if (terminal_) fmt::print("\033[?25h\n");
  std::fflush(stdout);
}

void Screen::show(const View& view) {
  if (terminal_) {
    draw(view);
  } else {
    print(view);
  }
  std::fflush(stdout);
}

void Screen::draw(const View& view) {
  static constexpr std::array kCodes{"\033[0m", "\033[2m", "\033[1m", "\033[32m", "\033[1;31m"};
  const auto size = terminal_size();
  most_backlog_ = std::max(most_backlog_, view.backlog);
  Lines lines;
  add_head(lines, view);
  add_village(lines, view);
  add_lanes(lines, view, most_backlog_);
  for (const auto& news : view.feed.news) lines.push_back({Style::faint, news});
  lines.resize(std::min(lines.size(), size.rows - std::min<std::size_t>(size.rows, 2)));
  lines.push_back({Style::plain, "try: " + hint_});
  std::string frame = "\033[H";
  for (const auto& line : lines) {
    frame += kCodes.at(static_cast<std::size_t>(line.style));
    frame += clip(line.text, size.columns - 1) + "\033[0m\033[K\n";
  }
  fmt::print("{}\033[J", frame);
}

void Screen::print(const View& view) {
  if (!link_was_up_) fmt::print("try, in another terminal: {}\n", hint_);
  if (link_was_up_ && *link_was_up_ != view.link_up) {
    fmt::print("---- the link is {} ----\n",
               view.link_up ? "back: the backlog drains" : "cut: the box keeps everything");
  }
  link_was_up_ = view.link_up;
  const auto fresh = std::min<std::uint64_t>(view.feed.told - told_, view.feed.news.size());
  for (auto i = view.feed.news.size() - fresh; i < view.feed.news.size(); ++i) fmt::print("{}\n", view.feed.news[i]);
  told_ = view.feed.told;
  const auto alarms = active_alarms(view.county);
  fmt::print("{}  link {}  level {}  rain {}  pump {}  door {}  | {}{}\n", clock_text(view.elapsed),
             view.link_up ? "up " : "CUT", number(view.feed, "river.level", "m"), number(view.feed, "river.rain", "mm"),
             flag(view.feed, "pump-house.pump", "on", "off"), flag(view.feed, "pump-house.door", "open", "shut"),
             account_text(view), alarms.empty() ? "" : "  ALARM " + alarms.front());
}

}  // namespace hamlet::demo
