#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include <opencv2/core/mat.hpp>

#include "cameras/picture.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::cameras {

/// Tells what does not belong to the scene, in a series of pictures of one size.
///
/// Each pixel keeps kSamples examples of how it has looked: brightness, colour, and a descriptor of the texture around
/// it (which neighbours differ in brightness). It belongs to the background where two of them match. How near a match
/// has to be, and how soon examples are replaced, follows from how restless each place is (after SuBSENSE, St-Charles et
/// al. 2015, at half the resolution). Beside that:
/// - the whole picture is shifted back where the camera shakes (up to kMaxShift pixels of size()),
/// - what it has learned is relit where lights, clouds or the camera's exposure change all of it, also by a gain that changes
///   slowly over the picture, and its colours are learned anew where the camera turns to infra-red,
/// - light in a part of it (headlights, a cloud's edge, a lamp) has no outline either: no thing, but what stands in it is,
/// - a thing that leaves uncovers ground that has never been seen: no thing, for the picture has no contrast across its outline,
///   and what stands there and has one is not worn away from it,
/// - where what matches and what does not keep taking turns (leaves against the sky), specks are not joined to a thing,
/// - where there are no colours, a match has to be nearer,
/// - a thing that stands still stays a thing, for kStillBecomesScene.
/// While nothing is found, a picture that does not differ from the one looked at last is passed over, but for every fourth.
class Foreground {
 public:
  static constexpr int kSamples = 16;
  static constexpr int kMaxShift = 5;
  static constexpr Millis kWarmUp{8'000};
  static constexpr Millis kStillBecomesScene{15 * 60'000};

  explicit Foreground(cv::Size picture);
  ~Foreground();
  Foreground(const Foreground&) = delete;
  Foreground& operator=(const Foreground&) = delete;

  /// 255 where a thing is, in size(). Pictures come in the order of their times. Valid until the next call. Nothing is
  /// learned of a picture that is not `trusted`.
  const cv::Mat& look(const Picture& picture, bool trusted = true);
  /// Forgets everything; the next picture is the scene.
  void learn_anew();

  [[nodiscard]] cv::Size size() const;
  /// The mask of the last look.
  [[nodiscard]] const cv::Mat& mask() const;
  /// The same as the scene lies, not the picture: see shift().
  [[nodiscard]] const cv::Mat& placed_mask() const;
  /// Brightness, and the scene's as learned, both as the last picture was placed: see shift().
  [[nodiscard]] cv::Mat luma() const;
  [[nodiscard]] const cv::Mat& scene() const;
  /// How far the last picture lay beside the scene.
  [[nodiscard]] cv::Point shift() const;
  /// Fraction of the picture that did not match, before any cleaning up.
  [[nodiscard]] double unlike() const;
  /// The lights changed with the last picture, or the camera turned to infra-red or back.
  [[nodiscard]] bool relit() const;
  /// Fraction of the picture that the light alone has changed, somewhere in it.
  [[nodiscard]] double lit() const;
  /// How long this scene has been looked at.
  [[nodiscard]] Millis learned_for() const;

 private:
  struct Model;
  std::unique_ptr<Model> model_;
};

}  // namespace hamlet::cameras
