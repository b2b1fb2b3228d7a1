#include <random>

#include <doctest/doctest.h>

#include "drivers/modbus/frame.hpp"

using namespace hamlet::drivers::modbus;

namespace {

constexpr Envelope kTcp{Framing::tcp, 0x1234, 7};
constexpr Envelope kRtu{Framing::rtu, 0, 1};

Request two_registers() {
  return {Function::holding, 0, 2, {0}};
}
// 65.2 and -10.1 in tenths.
Bytes good_answer() {
  return {0x12, 0x34, 0, 0, 0, 7, 7, 3, 4, 0x02, 0x8C, 0xFF, 0x9B};
}

tl::expected<std::optional<Bytes>, Fault> unwrap_tcp(const Bytes& frame) {
  return unwrap(kTcp, encode(two_registers()), frame);
}

void check_header_refused(const Bytes& frame, std::string_view part) {
  const auto pdu = unwrap_tcp(frame);
  REQUIRE_FALSE(pdu);
  CHECK(pdu.error().why == "bad-answer");
  CHECK_FALSE(pdu.error().exception);
  CHECK(pdu.error().message.find(part) != std::string::npos);
}

void check_refused(const Bytes& pdu, std::string_view part) {
  const auto words = decode_answer(two_registers(), pdu);
  REQUIRE_FALSE(words);
  CHECK(words.error().why == "bad-answer");
  CHECK_FALSE(words.error().exception);
  CHECK(words.error().message.find(part) != std::string::npos);
}

Bytes rtu_answer() {
  return {0x01, 0x03, 0x04, 0x02, 0x8C, 0xFF, 0x9B, 0x3A, 0x3B};
}

std::optional<Bytes> unwrap_rtu(const Bytes& received) {
  return unwrap(kRtu, encode(two_registers()), received).value();
}

Bytes joined(Bytes front, const Bytes& back) {
  front.insert(front.end(), back.begin(), back.end());
  return front;
}

}  // namespace

TEST_CASE("a request has header, function, address and count") {
  const Request request{Function::input, 0x0102, 125, {}};
  CHECK(wrap(kTcp, encode(request)) == Bytes{0x12, 0x34, 0, 0, 0, 6, 7, 4, 0x01, 0x02, 0, 125});
}

TEST_CASE("requests and answers of the datasheets, byte for byte") {
  CHECK(wrap(kRtu, encode(two_registers())) == Bytes{0x01, 0x03, 0x00, 0x00, 0x00, 0x02, 0xC4, 0x0B});
  CHECK(wrap(kRtu, encode(Request{Function::holding, 0x1E, 3, {}})) ==
        Bytes{0x01, 0x03, 0x00, 0x1E, 0x00, 0x03, 0x65, 0xCD});
  CHECK(wrap(kRtu, encode(Request{Function::holding, 0x01F4, 5, {}})) ==
        Bytes{0x01, 0x03, 0x01, 0xF4, 0x00, 0x05, 0xC5, 0xC7});
  CHECK(wrap({Framing::rtu, 0, 0x50}, encode(Request{Function::holding, 0x34, 1, {}})) ==
        Bytes{0x50, 0x03, 0x00, 0x34, 0x00, 0x01, 0xC8, 0x45});
  const Request volts{Function::input, 0, 2, {}};
  const auto sdm = unwrap(kRtu, encode(volts), Bytes{0x01, 0x04, 0x04, 0x43, 0x66, 0x33, 0x34, 0x1B, 0x38}).value();
  REQUIRE(sdm);
  CHECK(decode_answer(volts, *sdm).value() == Words{0x4366, 0x3334});
  const auto laser = unwrap({Framing::rtu, 0, 0x50}, encode(Request{Function::holding, 0x34, 1, {}}),
                            Bytes{0x50, 0x03, 0x02, 0x07, 0x0B, 0x06, 0x7F})
                         .value();
  REQUIRE(laser);
  CHECK(decode_answer({Function::holding, 0x34, 1, {}}, *laser).value() == Words{1803});
}

TEST_CASE("a good answer gives its registers") {
  const auto pdu = unwrap_tcp(good_answer()).value();
  REQUIRE(pdu);
  CHECK(decode_answer(two_registers(), *pdu).value() == Words{0x028C, 0xFF9B});
}

TEST_CASE("an answer is waited for until it is whole") {
  const auto whole = good_answer();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CHECK_FALSE(unwrap_tcp({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)}).value());
  }
  const auto rtu = rtu_answer();
  for (std::size_t size = 0; size < rtu.size(); ++size) {
    CHECK_FALSE(unwrap_rtu({rtu.begin(), rtu.begin() + static_cast<std::ptrdiff_t>(size)}));
  }
}

TEST_CASE("bits are unpacked, the lowest first") {
  const Request ten{Function::coil, 0, 10, {}};
  CHECK(decode_answer(ten, Bytes{1, 2, 0x05, 0x02}).value() == Words{1, 0, 1, 0, 0, 0, 0, 0, 0, 1});
}

TEST_CASE("an exception is told with its code") {
  const auto words = decode_answer(two_registers(), Bytes{0x83, 2});
  REQUIRE_FALSE(words);
  CHECK(words.error().exception == 2);
  CHECK(words.error().why == "illegal-address");
  CHECK(words.error().message ==
        "the device answered with exception 02 (illegal-address) to function 3, addresses 0 to 1 (from 0)");
  CHECK(unwrap_rtu({0x01, 0x83, 0x02, 0xC0, 0xF1}) == Bytes{0x83, 2});
}

TEST_CASE("an answer that does not fit the request is never taken for a value") {
  auto frame = good_answer();
  SUBCASE("of another transaction: late") {
    frame[1] = 0x33;
    check_header_refused(frame, "transaction");
  }
  SUBCASE("of another protocol, in either byte") {
    frame[3] = 1;
    check_header_refused(frame, "protocol");
    frame[3] = 0;
    frame[2] = 1;
    check_header_refused(frame, "protocol");
  }
  SUBCASE("with a length field of 0, 1, too short or over 254") {
    for (const int length : {0, 1, 255}) {
      frame[5] = static_cast<std::uint8_t>(length);
      check_header_refused(frame, "length");
    }
    frame[5] = 6;
    check_header_refused(frame, "longer than it says");
    frame[4] = 1;
    frame[5] = 7;
    check_header_refused(frame, "length");
  }
  SUBCASE("of another unit") {
    frame[6] = 8;
    check_header_refused(frame, "unit 8");
  }
  SUBCASE("of another function, or an exception to one") {
    check_refused({4, 4, 0x02, 0x8C, 0xFF, 0x9B}, "function 4");
    check_refused({0x84, 2}, "function 132");
  }
  SUBCASE("with a byte count that lies") { check_refused({3, 2, 0x02, 0x8C, 0xFF, 0x9B}, "number of values"); }
  SUBCASE("cut short or too long") {
    check_refused({3}, "too short");
    check_refused({3, 4, 0x02, 0x8C, 0xFF}, "number of values");
    check_refused({3, 4, 0x02, 0x8C, 0xFF, 0x9B, 0}, "number of values");
  }
  SUBCASE("the request itself, echoed") { check_refused(encode(two_registers()), "number of values"); }
}

TEST_CASE("a device asked as unit 0, 254 or 255 may name itself as it likes") {
  auto frame = good_answer();
  frame[6] = 1;
  for (const auto any : Bytes{0, 254, 255}) {
    CHECK(unwrap({Framing::tcp, 0x1234, any}, encode(two_registers()), frame).value());
    CHECK(unwrap({Framing::rtu, 0, any}, encode(two_registers()), rtu_answer()).value());
  }
}

TEST_CASE("on a serial line the answer is found among what is none") {
  const auto answer = Bytes{0x03, 0x04, 0x02, 0x8C, 0xFF, 0x9B};
  SUBCASE("after noise") { CHECK(unwrap_rtu(joined({0x00, 0xFF, 0x01}, rtu_answer())) == answer); }
  SUBCASE("after the request, echoed") {
    CHECK(unwrap_rtu(joined(wrap(kRtu, encode(two_registers())), rtu_answer())) == answer);
  }
  SUBCASE("after a late answer of another unit") {
    CHECK(unwrap_rtu(joined(wrap({Framing::rtu, 0, 9}, Bytes{3, 4, 1, 2, 3, 4}), rtu_answer())) == answer);
  }
  SUBCASE("glued to what follows") { CHECK(unwrap_rtu(joined(rtu_answer(), rtu_answer())) == answer); }
  SUBCASE("but not with a bit flipped") {
    for (std::size_t bit = 0; bit < rtu_answer().size() * 8; ++bit) {
      auto broken = rtu_answer();
      broken[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
      CHECK_FALSE(unwrap_rtu(broken));
    }
  }
}

TEST_CASE("what came and was no answer is explained") {
  const auto why = [](const Bytes& received) { return explain(kRtu, encode(two_registers()), received).message; };
  auto broken = rtu_answer();
  broken[4] ^= 1;
  CHECK(why(broken).find("CRC") != std::string::npos);
  CHECK(why(wrap({Framing::rtu, 0, 9}, Bytes{3, 4, 1, 2, 3, 4})) == "the answer is of unit 9, unit 1 was asked");
  CHECK(why({0x00}).find("1 bytes came") != std::string::npos);
}

TEST_CASE("writes are confirmed by what they wrote, and by nothing else") {
  const Write coil{true, 3, {1}};
  CHECK(encode(coil) == Bytes{5, 0, 3, 0xFF, 0});
  CHECK(check_answer(coil, encode(coil)));
  CHECK_FALSE(check_answer(coil, Bytes{5, 0, 3, 0, 0}));
  const Write coils{true, 0x13, {1, 0, 1, 1, 0, 0, 1, 1, 1, 0}};  // the specification's example
  CHECK(encode(coils) == Bytes{0x0F, 0, 0x13, 0, 0x0A, 2, 0xCD, 0x01});
  CHECK(check_answer(coils, Bytes{0x0F, 0, 0x13, 0, 0x0A}));
  CHECK_FALSE(check_answer(coils, Bytes{0x0F, 0, 0x13, 0, 0x09}));
  CHECK(unwrap(kRtu, encode(coils), wrap(kRtu, Bytes{0x0F, 0, 0x13, 0, 0x0A})).value());
  const Write one{false, 0x64, {0x005A}};
  CHECK(encode(one) == Bytes{6, 0, 0x64, 0, 0x5A});
  CHECK(check_answer(one, encode(one)));
  const Write two{false, 0x10, {0x1234, 0x5678}};
  CHECK(encode(two) == Bytes{0x10, 0, 0x10, 0, 2, 4, 0x12, 0x34, 0x56, 0x78});
  CHECK(check_answer(two, Bytes{0x10, 0, 0x10, 0, 2}));
  CHECK_FALSE(check_answer(two, Bytes{0x10, 0, 0x10, 0, 1}));
  const auto refused = check_answer(two, Bytes{0x90, 2});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().why == "illegal-address");
  CHECK(unwrap(kRtu, encode(two), wrap(kRtu, Bytes{0x10, 0, 0x10, 0, 2})).value());
}

TEST_CASE("whatever is wrapped is unwrapped again, whatever its bytes") {
  std::mt19937 random{7};
  for (int round = 0; round < 2000; ++round) {
    const auto byte = [&] { return static_cast<std::uint8_t>(random() & 0xFF); };
    const Request request{static_cast<Function>(1 + random() % 4), static_cast<std::uint16_t>(random() & 0xFFFF),
                          static_cast<std::uint16_t>(1 + random() % 125), {}};
    const auto pdu = encode(request);
    Bytes answer{pdu[0], static_cast<std::uint8_t>(answer_size(pdu) - 2)};
    while (answer.size() < answer_size(pdu)) answer.push_back(byte());
    const Envelope envelope{round % 2 == 0 ? Framing::tcp : Framing::rtu, static_cast<std::uint16_t>(random() & 0xFFFF),
                            static_cast<std::uint8_t>(1 + random() % 247)};
    CHECK(unwrap(envelope, pdu, wrap(envelope, answer)).value() == answer);
    CHECK(decode_answer(request, answer));
  }
}
