#include "cameras/occupancy.hpp"

#include <algorithm>

namespace hamlet::cameras {
namespace {

constexpr Millis kFirstUpdate{1'000};
constexpr Millis kSlowestUpdate{300'000};

}  // namespace

std::optional<Phase> Occupancy::see(bool there, Millis time, bool news) {
  if (there) {
    if (!pending_ && !occupied_) {
      pending_ = true;
      first_ = time;
    }
    last_ = time;
  }
  if (pending_) {
    if (!there && time - last_ >= std::min(on_delay_, hold_)) pending_ = false;
    if (!there || time - first_ < on_delay_) return std::nullopt;
    pending_ = false;
    occupied_ = true;
    update_every_ = kFirstUpdate;
    next_update_ = time + update_every_;
    return Phase::start;
  }
  if (!occupied_) return std::nullopt;
  if (!there && time - last_ >= hold_) {
    occupied_ = false;
    return Phase::end;
  }
  if (!there || !news || time < next_update_) return std::nullopt;
  update_every_ = std::min(2 * update_every_, kSlowestUpdate);
  next_update_ = time + update_every_;
  return Phase::update;
}

}  // namespace hamlet::cameras
