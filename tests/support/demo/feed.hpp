#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/support/county.hpp"

namespace hamlet::demo {

/// What the county's newest messages say, for the screen. take() comes from the county's thread, the rest from ours.
class Feed {
 public:
  void take(const support::County::Arrival& arrival);

  struct Point {
    nlohmann::json value;
    std::string quality;
    std::int64_t taken_ms = 0;
  };
  struct Contents {
    std::map<std::string, Point> points;
    std::deque<std::string> news;  ///< newest last; at most kMaxNews
    std::uint64_t told = 0;        ///< pieces of news so far
    std::uint64_t sightings = 0;   ///< events of the camera so far
  };
  [[nodiscard]] Contents contents() const;

 private:
  static constexpr std::size_t kMaxNews = 8;

  void take_readings(const nlohmann::json& payload);
  void tell(std::string line);

  mutable std::mutex mutex_;
  Contents contents_;  // guarded by mutex_
};

}  // namespace hamlet::demo
