#include <algorithm>

#include <doctest/doctest.h>

#include "drivers/modbus/plan.hpp"

using namespace hamlet::drivers::modbus;

namespace {

Need registers(std::uint16_t address, std::uint16_t count = 1) {
  return {Function::holding, address, count};
}

// Every need is served once, whole, by a request that is within bounds.
void check_serves(const std::vector<Request>& requests, const std::vector<Need>& needs) {
  std::vector<int> served(needs.size());
  for (const auto& request : requests) {
    CHECK(request.count >= 1);
    CHECK(request.count <= max_count(request.function));
    for (const auto index : request.needs) {
      ++served[index];
      CHECK(needs[index].function == request.function);
      CHECK(needs[index].address >= request.address);
      CHECK(needs[index].address + needs[index].count <= request.address + request.count);
    }
  }
  CHECK(std::all_of(served.begin(), served.end(), [](int times) { return times == 1; }));
}

}  // namespace

TEST_CASE("neighbours are read together, whatever order they are written in") {
  const std::vector<Need> needs{registers(4, 2), registers(0, 2), registers(2, 2)};
  const auto requests = plan(needs, 0);
  REQUIRE(requests.size() == 1);
  CHECK(requests[0].address == 0);
  CHECK(requests[0].count == 6);
  check_serves(requests, needs);
}

TEST_CASE("a hole is read along up to max_gap") {
  const std::vector<Need> needs{registers(0), registers(9)};
  CHECK(plan(needs, 8).size() == 1);
  CHECK(plan(needs, 8)[0].count == 10);
  CHECK(plan(needs, 7).size() == 2);
  CHECK(plan(needs, 0).size() == 2);
}

TEST_CASE("functions are not mixed") {
  const std::vector<Need> needs{
      {Function::coil, 0, 1}, {Function::discrete, 0, 1}, registers(0), {Function::input, 0, 1}};
  const auto requests = plan(needs, 100);
  CHECK(requests.size() == 4);
  check_serves(requests, needs);
}

TEST_CASE("a request asks for no more than Modbus allows and never splits a value") {
  std::vector<Need> needs;
  for (std::uint16_t i = 0; i < 100; ++i) needs.push_back(registers(static_cast<std::uint16_t>(i * 4), 4));
  const auto requests = plan(needs, 8);
  check_serves(requests, needs);
  CHECK(requests.size() == 4);  // 31 values of 4 registers in each of the first three
  CHECK(requests[0].count == 124);

  std::vector<Need> bits;
  for (std::uint16_t i = 0; i < 4001; ++i) bits.push_back({Function::coil, i, 1});
  const auto bit_requests = plan(bits, 0);
  check_serves(bit_requests, bits);
  CHECK(bit_requests.size() == 3);
}

TEST_CASE("values may overlap and end at the last register") {
  const std::vector<Need> needs{registers(10, 2), registers(10), registers(11), registers(65534, 2), registers(10)};
  const auto requests = plan(needs, 0);
  check_serves(requests, needs);
  REQUIRE(requests.size() == 2);
  CHECK(requests[0].count == 2);
  CHECK(requests[1].address == 65534);
}

TEST_CASE("a refused request is cut at its holes first, then in halves, down to one value") {
  const std::vector<Need> needs{registers(0, 2), registers(2, 2), registers(4, 2), registers(10, 2)};
  const auto requests = plan(needs, 8);
  REQUIRE(requests.size() == 1);

  const auto runs = split(requests[0], needs);
  check_serves(runs, needs);
  REQUIRE(runs.size() == 2);
  CHECK(runs[0].count == 6);
  CHECK(runs[1].address == 10);

  const auto halves = split(runs[0], needs);
  REQUIRE(halves.size() == 2);
  CHECK(halves[0].count == 2);
  CHECK(halves[1].count == 4);
  CHECK(split(halves[0], needs).empty());
  CHECK(split(halves[1], needs).size() == 2);
}
