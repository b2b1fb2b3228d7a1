#include "drivers/replay/replay.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <filesystem>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "drivers/replay/series.hpp"
#include "firmware/core/log.hpp"
#include "firmware/core/worker.hpp"

namespace hamlet::drivers::replay {
namespace {

using namespace std::chrono_literals;
using namespace std::string_view_literals;

constexpr std::array kCellTypes{"number"sv, "boolean"sv};  // as CellType

struct Source {
  std::string point;
  std::filesystem::path file;
  CellType type = CellType::number;
};

struct Settings {
  double speed = 1;
  bool loop = true;
  std::vector<Source> sources;
};

/// Plays every series from its own first line on, all starting together. Files are read ahead on a Worker; times are
/// counted on the monotonic clock, so that a clock that is set does not disturb them.
class ReplayDevice final : public Device, public std::enable_shared_from_this<ReplayDevice> {
 public:
  ReplayDevice(const std::string& id, const Settings& settings, Surroundings around)
      : speed_{settings.speed},
        loop_{settings.loop},
        io_{around.io},
        clock_{around.clock},
        report_{around.report},
        timer_{around.io},
        worker_{"replay-" + id, std::max<std::size_t>(1, settings.sources.size())} {
    for (const auto& source : settings.sources) tracks_.push_back({.source = source});
  }

  ~ReplayDevice() override { stop(); }

  void start() override {
    start_ = clock_.mono();
    for (std::size_t i = 0; i < tracks_.size(); ++i) read_ahead(i);
  }

  void stop() override {
    stopped_ = true;
    timer_.cancel();
    worker_.stop(Worker::Drain::no);
  }

 private:
  static constexpr std::size_t kLinesAhead = 1024;   // per read; two of them at most wait in a track
  static constexpr std::size_t kMostReadings = 500;  // per handler, so that a fast replay leaves room for others

  struct Track {
    Source source;
    std::unique_ptr<Series> series{};  // used on worker_ while `reading`
    std::deque<Sample> ahead{};
    bool reading = false;
    bool told_bad = false;
    bool told_end = false;
    std::string why{};  // set: nothing more will be read
    std::string message{};
  };

  void read_ahead(std::size_t index) {
    auto& track = tracks_[index];
    track.reading = worker_.post([this, index, weak = weak_from_this()] {
      auto samples = read_series(tracks_[index]);
      boost::asio::post(io_, [weak, index, samples = std::move(samples)]() mutable {
        if (const auto self = weak.lock()) self->on_read(index, std::move(samples));
      });
    });
  }

  // On worker_. tracks_ does not change its size, and the io thread leaves a track's series alone while `reading`.
  Result<std::vector<Sample>> read_series(Track& track) const {
    if (!track.series) {
      auto opened = Series::open(track.source.file, track.source.type, loop_);
      if (!opened) return fail(std::move(opened).error());
      track.series = std::make_unique<Series>(std::move(*opened));
    }
    return track.series->read(kLinesAhead);
  }

  void on_read(std::size_t index, Result<std::vector<Sample>> samples) {
    if (stopped_) return;
    auto& track = tracks_[index];
    track.reading = false;
    if (!samples) {
      end(track, "no-file", samples.error().message);
    } else {
      std::move(samples->begin(), samples->end(), std::back_inserter(track.ahead));
      tell_bad_lines(track);
      if (track.series->ended()) {
        end(track, "end-of-data",
            fmt::format("{}: played to its end, {} bad lines", track.source.file.string(), track.series->bad_lines()));
      }
    }
    play();
  }

  static void end(Track& track, std::string why, std::string message) {
    track.why = std::move(why);
    track.message = std::move(message);
  }

  static void tell_bad_lines(Track& track) {
    if (track.told_bad || track.series->bad_lines() == 0) return;
    track.told_bad = true;
    log::warning("bad line in a series, left out; further ones are only counted",
                 {{"point", track.source.point}, {"first", track.series->first_bad()}});
  }

  [[nodiscard]] MonoTime due(const Sample& sample) const {
    return start_ + Millis{static_cast<Millis::rep>(static_cast<double>(sample.elapsed.count()) / speed_)};
  }

  void play() {
    const auto now = clock_.mono();
    std::vector<Reading> readings;
    for (auto& track : tracks_) take_due(track, now, readings);
    const bool over = std::all_of(tracks_.begin(), tracks_.end(), is_over);
    if (!over) tell_ends(now, readings);
    if (!readings.empty()) report_.answered(std::move(readings));
    if (over) {
      report_.failed(tracks_.front().why, tracks_.front().message);
      return;
    }
    for (std::size_t i = 0; i < tracks_.size(); ++i) {
      const auto& track = tracks_[i];
      if (track.ahead.size() < kLinesAhead && !track.reading && track.why.empty()) read_ahead(i);
    }
    await_next(now);
  }

  void take_due(Track& track, MonoTime now, std::vector<Reading>& readings) const {
    while (!track.ahead.empty() && due(track.ahead.front()) <= now && readings.size() < kMostReadings) {
      auto& sample = track.ahead.front();
      readings.push_back({.point = track.source.point, .at = due(sample), .value = std::move(sample.value)});
      track.ahead.pop_front();
    }
  }

  static bool is_over(const Track& track) { return track.ahead.empty() && !track.why.empty(); }

  // A series that ended while others play on: its point has no value from now on.
  void tell_ends(MonoTime now, std::vector<Reading>& readings) {
    for (auto& track : tracks_) {
      if (!is_over(track) || std::exchange(track.told_end, true)) continue;
      log::info("series ended", {{"point", track.source.point}, {"why", track.message}});
      readings.push_back({.point = track.source.point, .at = now, .quality = Quality::missing, .why = track.why});
    }
  }

  void await_next(MonoTime now) {
    auto next = MonoTime::max();
    for (const auto& track : tracks_) {
      if (!track.ahead.empty()) next = std::min(next, due(track.ahead.front()));
    }
    if (next == MonoTime::max()) return;  // on_read() goes on
    timer_.expires_after(std::max(Millis{0}, next - now));
    timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      if (error) return;
      if (const auto self = weak.lock()) self->on_due();
    });
  }

  void on_due() {
    if (!stopped_) play();
  }

  const double speed_;
  const bool loop_;
  boost::asio::io_context& io_;
  Clock& clock_;
  Report& report_;
  std::vector<Track> tracks_;
  MonoTime start_{};
  boost::asio::steady_timer timer_;
  bool stopped_ = false;
  Worker worker_;  // last: it ends before what it uses
};

}  // namespace

Blueprint read(const config::Table& device, const std::string& id) {
  Settings settings;
  settings.speed = device.number_or("speed", settings.speed, {0.01, 100'000});
  settings.loop = device.flag_or("loop", settings.loop);
  const std::filesystem::path folder = device.text_or("folder", "");
  auto infos = read_points(device, id, [&](const config::Table& table) {
    Source source;
    source.file = folder / table.text("file");
    source.type = static_cast<CellType>(table.choice_or("type", 0, kCellTypes));
    settings.sources.push_back(source);
    return source.type == CellType::boolean ? ValueType::boolean : ValueType::number;
  });
  for (std::size_t i = 0; i < infos.size(); ++i) settings.sources[i].point = infos[i].point;
  return {.points = std::move(infos), .build = [id, settings = std::move(settings)](Surroundings around) {
            return std::make_shared<ReplayDevice>(id, settings, around);
          }};
}

}  // namespace hamlet::drivers::replay
