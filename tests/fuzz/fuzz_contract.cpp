// The contract's decoder on bytes from outside, and its encoder and renderer on bytes from devices and from a damaged
// file.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "firmware/core/text.hpp"
#include "sync/contract/contract.hpp"
#include "tests/fuzz/require.hpp"

namespace hamlet::fuzz_contract {
using namespace hamlet;
using namespace hamlet::contract;

namespace {

Dated date(Moment moment) {
  return {wall_from_ms(to_ms(moment.mono)), TimeQuality::synced};
}

Envelope envelope(Lane lane) {
  return {.gw = "gw",
          .epoch = "9f2c41d07be1a655",
          .lane = lane,
          .seq = 1,
          .at = {1, mono_from_ms(5)},
          .hist = false,
          .rev = 1};
}

// Whatever is parsed fits what the types promise.
void parse(std::string_view bytes) {
  if (const auto message = parse_message(bytes)) require(message->seq > 0 && message->lane != Lane::media);
  if (const auto acks = parse_ack(bytes)) require(acks->size() <= 64);
  if (const auto command = parse_command("ping", bytes)) require(!command->id.empty() && command->args.is_object());
}

// Whatever a device says, the message parses, and is UTF-8.
void encode(std::string_view bytes) {
  const std::string text{bytes};
  double number = 0;
  std::memcpy(&number, bytes.data(), std::min(bytes.size(), sizeof number));
  const auto at = mono_from_ms(5);
  const std::vector<Reading> batch{{.point = "a.b", .at = at, .value = text},
                                   {.point = "a.c", .at = at, .value = number}};
  const Event event{.source = "a", .kind = "b", .id = text, .at = at, .detail = {{"text", text}}};
  for (const auto& [body, lane] :
       {std::pair{encode_readings(batch, at), Lane::tele}, {encode_event(event, at), Lane::event}}) {
    const auto message = render(body, envelope(lane), date);
    require(message && is_utf8(*message));
    require(message->size() > (1U << 20) || parse_message(*message).has_value());
  }
}

// A damaged body is refused or rendered, and never runs over.
void render_damaged(std::string_view bytes) {
  (void)render({"tele", std::string{bytes}}, envelope(Lane::tele), date);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};  // NOLINT: bytes are characters
  parse(bytes);
  encode(bytes);
  render_damaged(bytes);
  return 0;
}

}  // namespace hamlet::fuzz_contract
