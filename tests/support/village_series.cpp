#include "tests/support/village_series.hpp"

#include <algorithm>
#include <cmath>
#include <random>

namespace hamlet::support {
namespace {

// The weather and the people, step by step.
class Village {
 public:
  Village(std::uint32_t seed, Millis step)
      : random_{seed}, hours_{std::chrono::duration<double, std::ratio<3600>>{step}.count()} {}

  double next(Quantity quantity, WallTime at) {
    const auto local = at + std::chrono::hours{8};
    const auto day = std::chrono::floor<std::chrono::days>(local);
    hour_ = std::chrono::duration<double, std::ratio<3600>>{local - day}.count();
    const std::chrono::weekday weekday{day};
    weekend_ = weekday == std::chrono::Saturday || weekday == std::chrono::Sunday;
    rain();
    switch (quantity) {
      case Quantity::level:
        return level();
      case Quantity::rain:
        return rain_;
      case Quantity::temperature:
        return temperature();
      case Quantity::soil:
        return soil();
      case Quantity::power:
        return power();
      case Quantity::door:
        return door();
    }
    return 0;
  }

 private:
  double noise(double size) { return std::normal_distribution{0.0, size}(random_); }
  bool chance(double per_hour) { return std::bernoulli_distribution{std::min(1.0, per_hour * hours_)}(random_); }
  // Towards `mean`, with a memory of so many hours.
  void drift(double& x, double mean, double memory, double spread) {
    const double keep = std::exp(-hours_ / memory);
    x = mean + (x - mean) * keep + noise(spread * std::sqrt(1 - keep * keep));
  }
  static double rounded(double x, double unit) { return std::round(x / unit) * unit; }

  // A shower every other day or so, a few hours long, in tips of 0.2 mm.
  void rain() {
    if (shower_ <= 0 && chance(1.0 / 40)) {
      shower_ = std::exponential_distribution{1 / 2.5}(random_);
      strength_ = std::exponential_distribution{1 / 2.0}(random_);
    }
    double mm = 0;
    if (shower_ > 0) {
      mm = strength_ * hours_ * std::exponential_distribution{1.0}(random_);
      shower_ -= hours_;
    }
    tipped_ += mm;
    rain_ = std::floor(tipped_ / 0.2) * 0.2;
    tipped_ -= rain_;
  }
  double level() {
    wet_ += (rain_ - wet_) * (1 - std::exp(-hours_ / 6));
    drift(base_, 1.4, 200, 0.06);
    drift(wave_, 0, 0.2, 0.008);
    return rounded(base_ + 0.15 * wet_ / hours_ + wave_, 0.01);
  }
  double temperature() {
    drift(front_, 0, 60, 2.5);
    drift(cloud_, 0, 1.5, 0.6);
    return rounded(17 + front_ + cloud_ - (4.5 + 0.3 * front_) * std::cos((hour_ - 2.5) * 2 * kPi / 24) + noise(0.1),
                   0.1);
  }
  double soil() {
    moisture_ += 0.5 * rain_ * (1 - moisture_ / 60);
    moisture_ -= hours_ * (moisture_ - 12) * (0.0015 + 0.001 * std::max(0.0, std::sin((hour_ - 6) * kPi / 12)));
    return rounded(moisture_ + noise(0.05), 0.1);
  }
  double power() {
    const double morning = std::exp(-std::pow((hour_ - 7.5) / 1.2, 2));
    const double noon = std::exp(-std::pow((hour_ - 12) / 1.5, 2));
    const double evening = std::exp(-std::pow((hour_ - 19.5) / 2, 2));
    if (chance(pumping_ ? 2.0 : hour_ > 6 && hour_ < 20 ? 0.4 : 0.02)) pumping_ = !pumping_;
    drift(cloud_, 0, 1, 1.5);
    return rounded(std::max(0.0, 8 + 9 * morning + (weekend_ ? 11 : 7) * noon + 16 * evening + (pumping_ ? 5.5 : 0) +
                                     cloud_ + noise(0.4)),
                   0.1);
  }
  double door() {
    const double often = hour_ < 6 || hour_ > 22 ? 0.03 : 1.2;
    if (chance(open_ ? 30.0 : often)) open_ = !open_;
    return open_ ? 1 : 0;
  }

  static constexpr double kPi = 3.14159265358979;
  std::mt19937 random_;
  double hours_;
  double hour_ = 0;
  bool weekend_ = false;
  double shower_ = 0;
  double strength_ = 0;
  double tipped_ = 0;
  double rain_ = 0;
  double wet_ = 0;
  double base_ = 1.4;
  double wave_ = 0;
  double front_ = 0;
  double cloud_ = 0;
  double moisture_ = 28;
  bool pumping_ = false;
  bool open_ = false;
};

}  // namespace

std::string_view to_string(Quantity quantity) {
  constexpr std::string_view kNames[]{"level", "rain", "temperature", "soil", "power", "door"};
  return kNames[static_cast<std::size_t>(quantity)];
}

std::vector<VillageSample> village_series(Quantity quantity, std::uint32_t seed, int days, Millis step) {
  const WallTime begin{std::chrono::sys_days{std::chrono::year{2026} / 4 / 6}};
  Village village{seed, step};
  std::vector<VillageSample> out;
  for (auto at = begin; at < begin + std::chrono::days{days}; at += step)
    out.push_back({at, village.next(quantity, at)});
  return out;
}

}  // namespace hamlet::support
