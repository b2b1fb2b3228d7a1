#include "drivers/modbus/plan.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace hamlet::drivers::modbus {
namespace {

std::uint32_t end_of(const Need& need) {
  return std::uint32_t{need.address} + need.count;
}
std::uint32_t end_of(const Request& request) {
  return std::uint32_t{request.address} + request.count;
}

bool joins(const Request& request, const Need& need, std::uint32_t max_gap) {
  if (request.function != need.function || need.address > end_of(request) + max_gap) return false;
  return std::max(end_of(request), end_of(need)) - request.address <= max_count(need.function);
}

// `order`: indices of needs, sorted by function and address.
std::vector<Request> pack(std::span<const std::size_t> order, std::span<const Need> needs, std::uint32_t max_gap) {
  std::vector<Request> requests;
  for (const auto index : order) {
    const auto& need = needs[index];
    if (requests.empty() || !joins(requests.back(), need, max_gap)) {
      requests.push_back({need.function, need.address, need.count, {index}});
      continue;
    }
    auto& request = requests.back();
    request.count = static_cast<std::uint16_t>(std::max(end_of(request), end_of(need)) - request.address);
    request.needs.push_back(index);
  }
  return requests;
}

}  // namespace

std::vector<Request> plan(std::span<const Need> needs, std::uint32_t max_gap) {
  std::vector<std::size_t> order(needs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [needs](std::size_t a, std::size_t b) {
    return std::tie(needs[a].function, needs[a].address) < std::tie(needs[b].function, needs[b].address);
  });
  return pack(order, needs, max_gap);
}

std::vector<Request> split(const Request& request, std::span<const Need> needs) {
  const std::span<const std::size_t> served{request.needs};
  if (served.size() < 2) return {};
  if (auto runs = pack(served, needs, 0); runs.size() > 1) return runs;
  auto parts = pack(served.first(served.size() / 2), needs, 0);
  auto rest = pack(served.subspan(served.size() / 2), needs, 0);
  std::move(rest.begin(), rest.end(), std::back_inserter(parts));
  return parts;
}

}  // namespace hamlet::drivers::modbus
