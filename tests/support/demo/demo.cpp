#include "tests/support/demo/demo.hpp"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>

#include "firmware/control/client.hpp"

namespace hamlet::demo {
namespace {

using contract::Lane;
using nlohmann::json;

constexpr Millis kStep{100};
constexpr Millis kStopDeadline{8'000};
constexpr Millis kDrainDeadline{60'000};
constexpr Millis kAskDeadline{500};
constexpr const char* kConfigFile = "hamlet.toml";
constexpr const char* kLogFile = "hamletd.log";
constexpr const char* kSocket = "run/control.sock";

std::string base_topic() {
  const auto topics = contract::Topics::from_division(kDivision, kGateway);
  if (!topics) throw std::runtime_error{topics.error().message};
  return topics->base();
}

// The end of what hamletd has written, for telling why it ended.
std::string last_lines(const std::string& log) {
  constexpr std::size_t kBytes = 2'000;
  return log.size() <= kBytes ? log : "…" + log.substr(log.size() - kBytes);
}

}  // namespace

bool link_up_at(Millis elapsed, std::optional<Millis> total) {
  if (total) return elapsed < *total / 3 || elapsed >= *total * 2 / 3;
  return elapsed % Millis{40'000} < Millis{20'000} || elapsed % Millis{40'000} >= Millis{35'000};
}

Demo::Demo(Options options, const Interrupt& interrupt)
    : options_{std::move(options)},
      interrupt_{interrupt},
      link_{broker_.port()},
      county_{{.broker = broker_.uri(),
               .base = base_topic(),
               .on_arrival = [this](const support::County::Arrival& arrival) { feed_.take(arrival); }}},
      box_config_{.broker_port = link_.port(),
                  .sensors_port = sensors_.port(),
                  .clip = std::filesystem::relative(options_.clip, options_.work)},
      started_{std::chrono::steady_clock::now()} {}

bool Demo::run() {
  std::filesystem::create_directories("run");
  measure(sensors_, Millis{0});
  start_box(config(box_config_));
  show_village();
  fmt::print("the village stops; what is left is sent\n");
  interrupt_.forget();
  link_.open();
  stop_box();
  const auto journaled = read_journal("state");
  if (!journaled) throw std::runtime_error{journaled.error().in("read the journal").message};
  return drain(*journaled) && report(*journaled);
}

void Demo::start_box(const std::string& config) {
  std::ofstream{kConfigFile} << config;
  box_ = std::make_unique<support::Process>(
      std::vector<std::string>{(options_.programs / "hamletd").string(), "--config", kConfigFile}, kLogFile);
}

void Demo::stop_box() {
  box_->signal(SIGTERM);
  const auto code = box_->wait(kStopDeadline);
  if (!code) throw std::runtime_error{"hamletd does not stop:\n" + last_lines(box_->log())};
  if (*code != 0) throw std::runtime_error{fmt::format("hamletd ended with {}:\n{}", *code, last_lines(box_->log()))};
}

void Demo::show_village() {
  Screen screen{options_.hint};
  Millis shown = -screen.period();
  while (!options_.total || elapsed() < *options_.total) {
    if (!box_->running()) throw std::runtime_error{"hamletd ended by itself:\n" + last_lines(box_->log())};
    const auto now = elapsed();
    set_link(now);
    measure(sensors_, now);
    if (now - shown >= screen.period()) {
      shown = now;
      screen.show(view(now));
    }
    if (interrupt_.wait(kStep)) return;
  }
}

void Demo::set_link(Millis elapsed) {
  const bool up = link_up_at(elapsed, options_.total);
  if (up == link_up_) return;
  link_up_ = up;
  link_changed_ = elapsed;
  if (up) {
    link_.open();
  } else {
    link_.cut();
  }
}

Millis Demo::elapsed() const {
  return std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now() - started_);
}

std::optional<json> Demo::ask_journal() const {
  auto answer = control::call(kSocket, "journal", json::object(), kAskDeadline);
  if (!answer) return std::nullopt;
  return std::move(*answer);
}

View Demo::view(Millis elapsed) const {
  View view{.elapsed = elapsed,
            .total = options_.total,
            .link_up = link_up_,
            .feed = feed_.contents(),
            .county = county_.snapshot()};
  if (link_changed_) view.link_since = elapsed - *link_changed_;
  const auto journal = ask_journal();
  view.box_answers = journal.has_value();
  for (const auto lane : contract::kLanes) {
    const auto came = view.county.total(lane);
    auto& account = view.lanes.at(contract::index(lane));
    account.received = came.received - came.duplicates - came.conflicts;
    account.missing = came.missing;
    account.duplicated = came.duplicates + came.conflicts;
    account.journaled = account.received;
    if (!journal) continue;
    const auto& box = (*journal)["lanes"][std::string{contract::to_string(lane)}];
    account.journaled = std::max(account.received, box.value("last", account.received));
    view.backlog += box.value("unsent", std::uint64_t{0});
  }
  return view;
}

// The box once more, without sensors and cameras, until the county has all that was journaled.
bool Demo::drain(const Journaled& journaled) {
  const auto is_complete = [&journaled](const support::County::Snapshot& county) {
    return complete(settle(journaled, county));
  };
  if (is_complete(county_.snapshot())) return true;
  start_box(config_to_drain(box_config_));
  const auto deadline = elapsed() + kDrainDeadline;
  while (elapsed() < deadline && !county_.wait_until(is_complete, kStep)) {
    if (interrupt_.wait(Millis{0})) return false;
    if (!box_->running()) throw std::runtime_error{"hamletd ended by itself:\n" + last_lines(box_->log())};
  }
  stop_box();
  return true;
}

bool Demo::report(const Journaled& journaled) const {
  const auto county = county_.snapshot();
  const auto accounts = settle(journaled, county);
  auto wrong = county.invalid;
  if (!complete(accounts)) wrong.push_back("something is missing: the journal has what the county has not");
  if (county.readings < journaled.readings) {
    wrong.push_back(fmt::format("{} readings are missing", journaled.readings - county.readings));
  }
  for (const auto lane : contract::kLanes) {
    if (county.total(lane).conflicts == 0) continue;
    wrong.push_back(fmt::format("lane {}: one number came with two contents", contract::to_string(lane)));
  }
  // A run of a stated length is long enough for each part of the story.
  if (options_.total) {
    if (journaled.readings == 0) wrong.push_back("the sensors gave no reading");
    if (journaled.last.at(contract::index(Lane::alarm)) == 0)
      wrong.push_back("the river rose, and no alarm was raised");
    if (feed_.contents().sightings == 0) wrong.push_back("the camera saw nothing");
  }
  fmt::print("\nreadings taken {}, received {}; camera events received {}\n{}", journaled.readings, county.readings,
             feed_.contents().sightings, to_table(accounts));
  for (const auto& line : wrong) fmt::print("WRONG: {}\n", line);
  if (wrong.empty()) fmt::print("complete: nothing is missing\n");
  return wrong.empty();
}

}  // namespace hamlet::demo
