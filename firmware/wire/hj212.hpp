#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include "firmware/core/text.hpp"
#include "firmware/core/time.hpp"
#include "firmware/wire/frame.hpp"

/// HJ 212, what environment monitors send and are answered: bytes to structs and back. Pure.
///
/// A packet is "##", the length of its segment, the segment and a CRC; a segment is header fields and CP, and CP is
/// items between ';' of pairs between ','. Read by name, in any order, and as far as it can be read: what devices do
/// wrong is noted beside it. 2005, 2017 and 2025 differ only in Flag and in what CP may hold.
namespace hamlet::wire::hj212 {

/// The standard's own CRC, which is not Modbus': "123456789" gives 2F80.
[[nodiscard]] std::uint16_t crc(std::string_view bytes);

struct Pair {
  std::string name;  ///< "a34004-Rtd"
  std::string value;
  std::size_t offset = 0;  ///< in the frame; not needed to encode
  friend bool operator==(const Pair& a, const Pair& b) { return a.name == b.name && a.value == b.value; }
};
using Item = std::vector<Pair>;  ///< pairs that belong together: one factor, its value and its mark

enum class Version : std::uint8_t { v2005 = 0, v2017 = 1, v2025 = 2, later = 3 };

struct Packet {
  std::string qn{}, st{}, cn{}, pw{}, mn{};
  std::optional<unsigned> flag{};
  std::optional<unsigned> pnum{};
  std::optional<unsigned> pno{};
  std::vector<Pair> extra{};  ///< header fields that 2017 does not know, as RF
  std::vector<Item> cp{};

  [[nodiscard]] bool wants_answer() const { return (flag.value_or(0) & 1U) != 0; }
  [[nodiscard]] bool is_split() const { return (flag.value_or(0) & 2U) != 0; }
  [[nodiscard]] Version version() const;
  /// A value in CP; empty where it is absent.
  [[nodiscard]] std::string_view find(std::string_view name) const;
  friend bool operator==(const Packet&, const Packet&) = default;
};

struct Options {
  std::size_t max_segment = 4096;  ///< the standard allows 1024, devices do more; 9999 at most
  bool modbus_crc = false;         ///< also take the CRC of Modbus, which some devices send by mistake
};

/// The bytes of a packet, CR LF included. Its segment must fit in 9999 bytes.
[[nodiscard]] std::string encode(const Packet& packet);

struct Parsed {
  Packet packet{};
  std::size_t size = 0;          ///< bytes it took, with the end of line where it was there
  std::size_t segment_size = 0;  ///< from offset 6
  std::uint16_t crc = 0;
  std::vector<FrameFault> faults{};  ///< what is not as it should be and was read all the same
};
/// One packet at the start of `bytes`.
[[nodiscard]] tl::expected<Parsed, FrameFault> parse_frame(std::string_view bytes, const Options& options = {});

/// Packets out of a stream of bytes, however it is cut or joined, with noise between. Keeps at most one packet and what
/// was fed last.
class Decoder {
 public:
  explicit Decoder(Options options = {}) : options_{options} {}
  void feed(std::string_view bytes) { buffer_.append(bytes); }
  /// The next packet; a fault where a length was right and the packet is not; nothing: needs more bytes.
  [[nodiscard]] std::optional<tl::expected<Parsed, FrameFault>> next();
  /// The rest of a packet has not come in time: drops its start. Call next() again.
  void give_up();
  [[nodiscard]] std::size_t pending() const { return buffer_.size() - at_; }
  [[nodiscard]] std::uint64_t skipped() const { return skipped_; }  ///< bytes that were part of no packet

 private:
  void skip(std::size_t count);
  Options options_;
  std::string buffer_;
  std::size_t at_ = 0;
  std::uint64_t skipped_ = 0;
};

/// One value of one factor.
struct Value {
  std::string code;    ///< "a34004"
  std::string suffix;  ///< "Rtd", "Avg", …
  std::string text;    ///< as sent
  std::optional<double> number{};
  std::string mark{};  ///< N, F, M, S, D, C, T, B; empty where there is none
  std::optional<WallTime> sampled{};  ///< its own -SampleTime
};
struct Data {
  std::optional<WallTime> time{};  ///< DataTime: of sampling (2011), or the start of the period
  std::vector<Value> values{};
};
[[nodiscard]] Data data_of(const Packet& packet);

// ---- exchanges -----------------------------------------------------------------------------------------------------

/// 9011 to 9014 with the same QN, PW and MN, in the version of `to`.
[[nodiscard]] Packet answer(const Packet& to, std::string cn, std::vector<Item> cp = {});
/// QN of a time: YYYYMMDDhhmmsszzz, China time.
[[nodiscard]] std::string qn_of(WallTime time);
/// Cuts CP between its items into packets whose segments have at most `max_segment` bytes; each has the DataTime of the
/// whole, PNUM and PNO, and a QN one millisecond on.
[[nodiscard]] std::vector<Packet> split(const Packet& whole, std::size_t max_segment);

// ---- tables --------------------------------------------------------------------------------------------------------

struct FactorInfo {
  std::string_view code;
  std::string_view unit;  ///< the standard's, where practice does not say otherwise: ug/m3 for dust
  Text name;
};
[[nodiscard]] std::optional<FactorInfo> find_factor(std::string_view code);
/// Of a factor's value with this suffix: an amount (Cou), marks and texts have none that is known.
[[nodiscard]] std::string_view unit_of(std::string_view code, std::string_view suffix);
/// A field of CP that is no factor ("OverTime"): its name and unit; both empty where it is in no table.
[[nodiscard]] std::pair<Text, std::string_view> field_name(std::string_view name);
/// Of SBn-RS.
[[nodiscard]] Text facility_state_name(std::string_view code);
[[nodiscard]] Text command_name(std::string_view cn);
[[nodiscard]] Text system_name(std::string_view st);
[[nodiscard]] Text mark_name(std::string_view mark);
[[nodiscard]] Text suffix_name(std::string_view suffix);
[[nodiscard]] Text qn_return_name(unsigned code);
[[nodiscard]] Text exe_return_name(unsigned code);

}  // namespace hamlet::wire::hj212
