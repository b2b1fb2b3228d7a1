#include "drivers/modbus/poll.hpp"

#include <algorithm>
#include <utility>

namespace hamlet::drivers::modbus {
namespace {

constexpr std::uint8_t kIllegalAddress = 0x02;
constexpr std::uint8_t kIllegalValue = 0x03;  // some devices say so where the quantity is what they do not like
constexpr std::uint8_t kGatewayPath = 0x0A;
constexpr std::uint8_t kGatewayTarget = 0x0B;

bool is_too_much(const Fault& fault) {
  return fault.exception == kIllegalAddress || fault.exception == kIllegalValue;
}

}  // namespace

bool is_silence(const Fault& fault) {
  return !fault.exception || *fault.exception == kGatewayPath || *fault.exception == kGatewayTarget;
}

Poll::Poll(std::vector<Point> points, std::uint32_t max_gap, const Clock& clock)
    : points_{std::move(points)}, clock_{clock} {
  for (const auto& point : points_) needs_.push_back(point.need);
  requests_ = plan(needs_, max_gap);
}

void Poll::begin(unsigned retries) {
  retries_ = retries;
  tries_left_ = retries;
  todo_.assign(requests_.begin(), requests_.end());
  done_.clear();
  result_ = std::vector<Reading>{};
}

const Request* Poll::asking() const {
  return result_ && !todo_.empty() ? &todo_.front() : nullptr;
}

void Poll::take(const tl::expected<Words, Fault>& answer) {
  if (!answer && is_silence(answer.error())) {
    if (tries_left_ == 0) {
      result_ = tl::unexpected(answer.error());
    } else {
      --tries_left_;
    }
    return;
  }
  const auto request = std::move(todo_.front());
  todo_.pop_front();
  tries_left_ = retries_;
  if (answer) {
    take_words(request, *answer);
  } else if (auto parts = split(request, needs_); is_too_much(answer.error()) && !parts.empty()) {
    todo_.insert(todo_.begin(), parts.begin(), parts.end());
    return;
  } else {
    refuse(request, answer.error().why);
  }
  done_.push_back(request);
}

Polled Poll::finish() {
  if (result_) {
    requests_ = std::move(done_);
    const auto now = clock_.mono();
    for (auto& reading : *result_) reading.at = now;
  }
  done_.clear();
  return std::exchange(result_, std::vector<Reading>{});
}

void Poll::take_words(const Request& request, const Words& words) {
  for (const auto index : request.needs) {
    const auto& point = points_[index];
    const auto first = static_cast<std::size_t>(point.need.address - request.address);
    Reading reading{.point = point.name};
    if (auto value = decode(std::span{words}.subspan(first, point.need.count), point.decoding)) {
      reading.value = std::move(*value);
    } else {
      reading.quality = Quality::missing;
      reading.why = value.error();
    }
    result_->push_back(std::move(reading));
  }
}

void Poll::refuse(const Request& request, const std::string& why) {
  for (const auto index : request.needs) {
    result_->push_back({.point = points_[index].name, .quality = Quality::missing, .why = why});
  }
}

Millis retry_delay(Millis period, Millis longest, unsigned failures, double chance) {
  constexpr unsigned kMostDoublings = 16;
  const auto ceiling = std::max(period, longest);
  const auto delay = std::min(ceiling, period * (Millis::rep{1} << std::min(failures - 1, kMostDoublings)));
  return Millis{static_cast<Millis::rep>(static_cast<double>(delay.count()) * (1 - 0.25 * chance))};
}

}  // namespace hamlet::drivers::modbus
