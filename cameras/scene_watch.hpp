#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include <opencv2/core/mat.hpp>

#include "cameras/occupancy.hpp"

namespace hamlet::cameras {

/// What is wrong with a picture as a whole. The word is the event's kind.
enum class SceneFault : std::uint8_t { dark, bright, covered, blurred, turned, frozen };
inline constexpr std::array<std::string_view, 6> kSceneFaultWords{"dark",    "bright", "covered",
                                                                   "blurred", "turned", "frozen"};

/// Compares the picture with how it has been for the last minutes: its brightness, its detail, how fine that is, and where.
/// A fault is told after kLasts, and over when it has been gone for as long. Pure; what it knows dies with it.
///
/// Dark, bright, covered, blurred and turned exclude one another: the first that fits is told.
class SceneWatch {
 public:
  static constexpr Millis kLooksEvery{500};
  static constexpr Millis kLasts{4'000};
  static constexpr Millis kFrozenAfter{30'000};
  static constexpr Millis kRemembers{600'000};  ///< after that another view is the view

  using Things = std::function<std::vector<cv::Rect>()>;

  struct Change {
    SceneFault fault = SceneFault::dark;
    Phase phase = Phase::start;
    Millis since{};  ///< when it began, or was last so
  };

  /// `luma`: the picture's brightness, a few hundred pixels wide. `things`: where something stands before the view, in its pixels;
  /// asked for only where it seems to be another view, and believed of a part of it only. Looks at most every kLooksEvery, and at once where
  /// `at_once`.
  [[nodiscard]] std::vector<Change> see(const cv::Mat& luma, Millis time, bool at_once, const Things& things);
  [[nodiscard]] bool faulty() const;
  /// A fault seems to begin or to end: what is seen now is not to be relied on.
  [[nodiscard]] bool in_doubt() const;

 private:
  static constexpr int kColumns = 16;
  static constexpr int kRows = 12;
  // Detail in each part of the picture, and how light it is.
  struct View {
    cv::Mat detail;  // kRows x kColumns, CV_32F
    double mean = 0;
    double spread = 0;
    double fineness = 0;  // detail of a few pixels against that of many
    [[nodiscard]] double all_detail() const;
  };
  [[nodiscard]] static View view_of(const cv::Mat& luma);
  [[nodiscard]] std::optional<SceneFault> judge(const View& now, const Things& things, cv::Size size) const;
  [[nodiscard]] bool is_another(const View& now, const Things& things, cv::Size size) const;
  void remember(const View& now, Millis time);
  void note(SceneFault fault, bool there, Millis time, std::vector<Change>& changes);

  std::optional<View> usual_;
  Millis usual_since_{};
  Millis last_{};
  std::optional<Millis> looked_;
  cv::Mat before_;
  Millis changed_{};
  std::vector<Occupancy> faults_{kSceneFaultWords.size(), Occupancy{kLasts, kLasts}};
};

}  // namespace hamlet::cameras
