#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "firmware/core/text.hpp"
#include "firmware/core/time.hpp"
#include "firmware/wire/frame.hpp"

/// SL 651-2014, what hydrology stations send and are answered: bytes to structs and back, in both encodings. Pure.
///
/// A frame is header, body and CRC; a body is a serial number, a time, and groups. Numbers of sections are the
/// standard's.
namespace hamlet::wire::sl651 {

enum class Encoding : std::uint8_t { hex, ascii };

// Control characters (table 1).
inline constexpr std::uint8_t kSoh = 0x01, kStx = 0x02, kEtx = 0x03, kEot = 0x04, kEnq = 0x05, kAck = 0x06, kNak = 0x15,
                              kSyn = 0x16, kEtb = 0x17, kEsc = 0x1B;
/// "ETX"; "?" where it is none.
[[nodiscard]] std::string_view control_name(std::uint8_t code);

/// The longest frame there is, in ASCII: 24 + 4095 + 5.
inline constexpr std::size_t kMaxFrame = 4124;
inline constexpr std::size_t kMaxLength = 4095;  ///< what lies between STX and the end character

/// A station's address, A5 to A1.
struct Address {
  std::array<std::uint8_t, 5> bytes{};

  /// As people write it: the 8 digits of a hydrological station; else 6 digits of the division and 5 of the number.
  [[nodiscard]] std::string text() const;
  /// The same back; also the ten hex digits of the wire.
  [[nodiscard]] static std::optional<Address> parse(std::string_view text);
  friend auto operator<=>(const Address&, const Address&) = default;
};

/// Which packet of how many a frame is (only with SYN).
struct Packets {
  std::uint16_t count = 1;
  std::uint16_t number = 1;
  friend bool operator==(const Packets&, const Packets&) = default;
};

struct Frame {
  Encoding encoding = Encoding::hex;
  bool down = false;  ///< from the centre
  std::uint8_t centre = 0;
  Address station{};
  std::uint16_t password = 0;
  std::uint8_t function = 0;
  std::optional<Packets> packets{};
  std::string body{};
  std::uint8_t end = kEtx;
  friend bool operator==(const Frame&, const Frame&) = default;
};

/// Where the parts of a frame lie, from its first byte.
struct Layout {
  std::size_t centre, centre_size, station, station_size, password, password_size, function, function_size, length,
      length_size, start, body;
};
[[nodiscard]] Layout layout(Encoding encoding, bool down);

/// The bytes of a frame. Its body and packet numbers must fit in kMaxLength.
[[nodiscard]] std::string encode(const Frame& frame);

struct Parsed {
  Frame frame{};
  std::size_t size = 0;  ///< bytes it took
};
/// One frame at the start of `bytes`; what follows it is left.
[[nodiscard]] tl::expected<Parsed, FrameFault> parse_frame(std::string_view bytes);
/// Where the next start of a frame may be (7E7E or SOH), a lone 7E at the end included; npos: nowhere.
[[nodiscard]] std::size_t find_start(std::string_view bytes);

/// Frames out of a stream of bytes, however it is cut or joined, with noise between. After a frame that is wrong the
/// search goes on one byte behind its start. Keeps at most one frame and what was fed last.
class Decoder {
 public:
  void feed(std::string_view bytes) { buffer_.append(bytes); }
  /// The next frame; a fault where a header was right and the frame is not; nothing: needs more bytes.
  [[nodiscard]] std::optional<tl::expected<Frame, FrameFault>> next();
  /// The rest of a frame has not come in time: drops its start. Call next() again.
  void give_up();
  [[nodiscard]] std::size_t pending() const { return buffer_.size() - at_; }
  [[nodiscard]] std::uint64_t skipped() const { return skipped_; }  ///< bytes that were part of no frame

 private:
  void skip(std::size_t count);
  std::string buffer_;
  std::size_t at_ = 0;
  std::uint64_t skipped_ = 0;
};

// ---- the body ------------------------------------------------------------------------------------------------------

/// A time as a device wrote it, in China time: digits, cut after hours, minutes or seconds.
struct Stamp {
  std::string digits;
  [[nodiscard]] std::optional<WallTime> time() const { return parse_china_digits(digits); }
  [[nodiscard]] static Stamp seconds(WallTime time) { return {china_digits(time).substr(2, 12)}; }
  [[nodiscard]] static Stamp minutes(WallTime time) { return {china_digits(time).substr(2, 10)}; }
  friend bool operator==(const Stamp&, const Stamp&) = default;
};

/// One value: `invalid` is what is no number and not the mark for "none" either.
struct Sample {
  enum class State : std::uint8_t { good, missing, invalid };
  State state = State::good;
  double value = 0;      ///< when good
  std::string digits{};  ///< as sent: BCD digits or characters; not needed to encode
  friend bool operator==(const Sample& a, const Sample& b) {
    return a.state == b.state && (a.state != State::good || a.value == b.value);
  }
};

/// What follows the time in a body, in the order of the wire.
struct Group {
  enum class Kind : std::uint8_t {
    station,     ///< F1F1 / ST: `station`, and `class_code` where the kind of report has it
    observed,    ///< F0F0 / TT: `time` holds for what follows
    number,      ///< one sample
    status,      ///< 45 / ZT: one sample, 32 bits
    step,        ///< 04 / DRxnn: `step`
    series,      ///< F4..FC / DRP, DRZn, or a uniform report's element: samples, `step` apart
    text,        ///< F2F2 / RGZS: `bytes`
    picture,     ///< F3F3 / PIC: `bytes`
    data,        ///< FD / DATA: `bytes`
    identifier,  ///< of an element or parameter, named without a value, as queries do
    parameter,   ///< of a configuration (functions 40 to 43): `bytes`, and a sample where it is a number
    field,       ///< what has no identifier: `symbol` names it, `bytes` holds it
    unknown,     ///< an identifier that is in no table: `bytes`
  };
  Kind kind = Kind::number;
  std::uint16_t id = 0;       ///< lead byte; 0xFFnn: the extension nn; 0 where there is none
  std::string symbol{};       ///< "Z"
  std::uint8_t length = 0;    ///< of a value, by the definition byte
  std::uint8_t decimals = 0;  ///< by the definition byte; in ASCII those written
  Address station{};
  char class_code = 0;
  Stamp time{};
  Millis step{};
  std::vector<Sample> samples{};
  std::string bytes{};
  std::size_t offset = 0;  ///< in the frame; not needed to encode
  std::string raw{};       ///< as on the wire; not needed to encode
};

struct Body {
  std::uint16_t serial = 0;
  Stamp sent{};  ///< YYMMDDHHmmSS
  std::vector<Group> groups{};
  /// Why reading stopped early; the groups before it hold.
  std::optional<FrameFault> damage{};
};

/// Reads a whole body (of M3: joined). `offset`: of the body in its frame, for messages.
[[nodiscard]] tl::expected<Body, FrameFault> parse_body(const Frame& frame, std::size_t offset = 0);
/// The same back. Groups must be such as parse_body() gives for the function.
[[nodiscard]] std::string encode_body(const Body& body, Encoding encoding);

/// One value with all that holds for it.
struct Observation {
  Address station{};
  char class_code = 0;
  std::uint16_t id = 0;
  std::string symbol{};
  Sample sample{};
  std::optional<WallTime> at{};  ///< as the device says, where it says
  bool series = false;           ///< one of several of the same element
};
/// All values of a body with station, class and time. Groups before any address are `header`'s; values behind a time that
/// is no date are invalid.
[[nodiscard]] std::vector<Observation> observations(const Body& body, const Address& header);

// ---- answers -------------------------------------------------------------------------------------------------------

/// Function codes (appendix B) by name.
inline constexpr std::uint8_t kKeepAlive = 0x2F, kTest = 0x30, kUniform = 0x31, kTimed = 0x32, kThreshold = 0x33,
                              kHourly = 0x34, kManual = 0x35, kPicture = 0x36, kRealTime = 0x37, kInterval = 0x38,
                              kLastManual = 0x39, kElements = 0x3A, kStatus = 0x46, kSetClock = 0x4A;
[[nodiscard]] Text function_name(std::uint8_t function);
[[nodiscard]] constexpr bool is_report(std::uint8_t function) { return function >= kTest && function <= kPicture; }

/// The centre's answer to a frame: same function, serial and password, its own time, and `end`: EOT, ESC, ACK or NAK.
/// For M3 `packet` is the one confirmed (the last) or wanted again.
[[nodiscard]] Frame confirmation(const Frame& of, std::uint16_t serial, WallTime now, std::uint8_t end,
                                 std::optional<std::uint16_t> packet = {});
/// A query or command: ENQ, serial 0.
[[nodiscard]] Frame command(const Frame& like, std::uint8_t function, WallTime now, std::vector<Group> groups = {});

/// Packets of one M3 message.
class Assembly {
 public:
  static constexpr std::size_t kMaxPackets = 512, kMaxBytes = 2U << 20U;
  /// A packet of another message (another function or count, or another packet 1) begins anew. False where it is beyond
  /// the bounds.
  [[nodiscard]] bool add(const Frame& packet);
  [[nodiscard]] bool empty() const { return parts_.empty(); }
  [[nodiscard]] bool complete() const;
  [[nodiscard]] std::optional<std::uint16_t> first_missing() const;
  /// Of packet 1; 0 until it is here.
  [[nodiscard]] std::uint16_t serial() const;
  /// The message as one frame without packet numbers, once it is complete.
  [[nodiscard]] Frame whole() const;
  void clear() { *this = {}; }

 private:
  Frame head_;
  std::vector<std::optional<std::string>> parts_;
  std::size_t bytes_ = 0;
};
/// Cuts a body into M3 packets of at most `slice` bytes: the last ends with ETX, the others with ETB.
[[nodiscard]] std::vector<Frame> split(const Frame& whole, std::size_t slice);

// ---- tables --------------------------------------------------------------------------------------------------------

/// An element of appendix C.
struct ElementInfo {
  std::uint16_t id = 0;
  std::string symbol;
  std::string unit;
  std::uint8_t bytes = 0;     ///< usual size of a value
  std::uint8_t decimals = 0;  ///< usual
  Text name;
};
[[nodiscard]] const ElementInfo* find_element(std::uint16_t id);
[[nodiscard]] const ElementInfo* find_element(std::string_view symbol);
/// Of a parameter of appendix D, which functions 40 to 43 carry.
[[nodiscard]] Text parameter_name(std::uint16_t id);
[[nodiscard]] Text class_name(char code);

}  // namespace hamlet::wire::sl651
