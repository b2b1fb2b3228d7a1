#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "firmware/core/alarm.hpp"
#include "firmware/core/event.hpp"
#include "firmware/core/reading.hpp"
#include "firmware/core/result.hpp"
#include "sync/contract/names.hpp"

namespace hamlet::contract {

inline constexpr int kVersion = 1;

/// In falling priority. Each has sequence numbers and positions of its own. The values are stored: frozen.
enum class Lane : std::uint8_t { alarm = 0, event = 1, tele = 2, media = 3 };
inline constexpr std::array kLanes{Lane::alarm, Lane::event, Lane::tele, Lane::media};
inline constexpr std::size_t kLaneCount = kLanes.size();
[[nodiscard]] std::string_view to_string(Lane lane);
[[nodiscard]] std::optional<Lane> parse_lane(std::string_view text);
[[nodiscard]] constexpr std::size_t index(Lane lane) {
  return static_cast<std::size_t>(lane);
}

/// "hamlet/v1/{county}/{town}/{village}/{gw}", and all that hangs below it.
class Topics {
 public:
  /// `division`: 12 digits, split 6/3/3. Error invalid: says what was expected.
  [[nodiscard]] static Result<Topics> from_division(std::string_view division, std::string gw);
  /// Any three path words ([A-Za-z0-9_-]{1,64}).
  [[nodiscard]] static Result<Topics> from_path(std::span<const std::string> words, std::string gw);

  [[nodiscard]] const std::string& base() const { return base_; }
  [[nodiscard]] const std::string& gw() const { return gw_; }
  /// base + "/" + below
  [[nodiscard]] std::string at(std::string_view below) const;

 private:
  std::string base_;
  std::string gw_;
};

/// A record's body as it is stored: JSON without the envelope, in which each point in time is a mark. Rendering
/// replaces the marks by wall time and puts the envelope in front, so that setting the clock changes no record.
///
/// A mark is 0x01, then either a signed decimal (milliseconds after the record's own time) or "boot:mono" in
/// milliseconds, then 0x02. Neither byte can occur in JSON text. A batch of readings is packed (sync/contract/packed.hpp)
/// and becomes JSON when it is rendered: a reading then takes about four bytes at rest.
struct Body {
  std::string topic;  ///< below the base: "tele", "event/cam-ford/motion", "alarmlog/river-level-high"
  std::string bytes;  ///< JSON with marks; packed readings; for the media lane the JPEG's file name
};

/// Encoding never fails: text that is not UTF-8 gets replacement characters, a number that is not finite becomes null.
/// All of one batch must be of this boot. `at`: the record's own time, not before the newest reading's. Points get
/// their numbers in `names`, which must then be stored with the record; null: their names are written out.
[[nodiscard]] Body encode_readings(std::span<const Reading> readings, MonoTime at, Names* names = nullptr);
[[nodiscard]] Body encode_event(const Event& event, MonoTime at);
[[nodiscard]] Body encode_alarm(const Alarm& alarm, Moment at);

/// A wall time with its quality.
struct Dated {
  WallTime wall{};
  TimeQuality quality = TimeQuality::unsynced;
};
/// Maps a moment to wall time: the journal's table of boots.
/// Called for the record and for each mark in it.
using DateFunction = std::function<Dated(Moment)>;

/// What goes in front of a body when it is sent.
struct Envelope {
  std::string_view gw;
  std::string_view epoch;
  Lane lane = Lane::tele;
  std::uint64_t seq = 0;
  Moment at{};
  bool hist = false;
  std::uint64_t rev = 0;
};

/// The message's payload: envelope and body, marks replaced. `ts` and `tq` come from `date(envelope.at)`; where the
/// quality is unsynced, `boot` and `mono` are there too. Error corrupt: a mark that is none, a damaged batch, a number
/// that `names` does not know.
[[nodiscard]] Result<std::string> render(const Body& body, const Envelope& envelope, const DateFunction& date,
                                         const Names* names = nullptr);

/// A batch's readings, their times in the record's boot. Error corrupt, as render().
[[nodiscard]] Result<std::vector<Reading>> decode_readings(const Body& body, MonoTime at, const Names* names);

/// The same for an alarm's retained snapshot, which is outside the lanes: no lane and no seq.
[[nodiscard]] Result<std::string> render_snapshot(const Alarm& alarm, std::string_view gw, std::string_view epoch,
                                                  Moment now, std::uint64_t rev, const DateFunction& date);

/// A picture's name, "{epoch}-{seq}": in Event::media, in its topic "media/{epoch}-{seq}", and with ".jpg" on disk.
[[nodiscard]] std::string media_name(std::string_view epoch, std::uint64_t seq);

/// Numbers from `from` to `to`, both included.
struct Range {
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  friend bool operator==(const Range&, const Range&) = default;
};

/// The retained `state`.
struct Presence {
  std::string_view gw;
  std::string_view epoch;
  std::uint32_t boot = 0;
  std::string_view firmware;
  struct LaneProgress {
    std::uint64_t last = 0;      ///< newest committed number
    std::vector<Range> pending;  ///< committed and not yet sent
  };
  using Lanes = std::array<LaneProgress, kLaneCount>;
  Lanes lanes{};
  std::map<std::string, Lanes> older{};          ///< of earlier epochs that still have something to send, by epoch
};
[[nodiscard]] std::string render_online(const Presence& presence, Dated now);
/// `now` is absent in the Will, which is written long before it is sent.
[[nodiscard]] std::string render_offline(const Presence& presence, std::optional<Dated> now);

// ---- what comes back, or is read again -----------------------------------------------------------------------------

/// One message of a lane, parsed and checked by whoever receives it: the sample county of the tests, `hamlet readings`.
struct Message {
  std::string gw;
  std::string epoch;
  Lane lane = Lane::tele;
  std::uint64_t seq = 0;
  Dated time;
  bool hist = false;
  std::uint64_t rev = 0;
};
/// Parses a payload of the lanes alarm, event or tele. `json` receives the whole of it where it is not null. Error
/// invalid: what is wrong, and where. Bytes from outside: bounded at 1 MiB and 32 levels.
[[nodiscard]] Result<Message> parse_message(std::string_view payload, nlohmann::json* json = nullptr);

/// The county's retained `ack`: by epoch, the contiguous prefix stored of each lane (absent lane: 0).
struct Ack {
  std::string epoch;
  std::array<std::uint64_t, kLaneCount> stored{};
};
[[nodiscard]] Result<std::vector<Ack>> parse_ack(std::string_view payload);

/// Our own retained `state` as the broker kept it: epoch and newest number of each lane, as an Ack has them.
[[nodiscard]] Result<Ack> parse_state(std::string_view payload);

/// A command from the county (`cmd/{verb}`): args is the whole object.
struct Command {
  std::string verb;
  std::string id;
  std::optional<WallTime> expires;
  nlohmann::json args;
};
[[nodiscard]] Result<Command> parse_command(std::string_view verb, std::string_view payload);

}  // namespace hamlet::contract
