// Pictures of cameras: the thumbnail goes to the county, the whole one stays on the box. Who looks, sends or holds is
// written down.

#include <algorithm>
#include <utility>

#include <boost/beast/core/detail/base64.hpp>

#include "firmware/control/args.hpp"
#include "firmware/core/id.hpp"
#include "firmware/core/log.hpp"
#include "firmware/daemon/box.hpp"
#include "firmware/daemon/texts.hpp"

namespace hamlet::daemon {
namespace {

using control::Access;
using control::Args;
using control::Reply;
using nlohmann::json;

constexpr std::int64_t kMaxListed = 1'000;

std::string base64(const std::string& bytes) {
  namespace codec = boost::beast::detail::base64;
  std::string out(codec::encoded_size(bytes.size()), '\0');
  out.erase(std::min(out.size(), codec::encode(out.data(), bytes.data(), bytes.size())));
  return out;
}

tl::unexpected<Failure> refuse_picture(const std::string& name, const Error& error) {
  if (error.code == Errc::not_found) return refuse(error.code, texts::unknown_picture(name));
  if (error.code == Errc::full) return refuse(error.code, texts::disk_is_busy());
  return refuse(error.code, texts::pictures_fail(error.message));
}

tl::unexpected<Failure> refuse_snapshot(const std::string& camera, const Error& error) {
  if (error.code == Errc::not_found) return refuse(error.code, texts::unknown_camera(camera));
  if (error.code == Errc::denied) return refuse(Errc::unavailable, texts::camera_shows_nothing(camera));
  if (error.code == Errc::unavailable) return refuse(error.code, texts::camera_down(camera, error.message));
  return refuse(error.code, texts::snapshot_late(camera));
}

// The picture that is asked for; nothing where the args are wrong, which is answered.
std::optional<std::string> asked_picture(const json& args, const Reply& reply) {
  Args in{args};
  auto name = in.text("picture");
  if (auto wrong = in.wrong()) {
    reply(tl::unexpected(*wrong));
    return {};
  }
  if (is_picture_name(name)) return name;
  reply(refuse(Errc::invalid, texts::no_picture_name(name)));
  return {};
}

}  // namespace

void Box::add_picture_verbs() {
  add_verb("snapshot", Access::read, "camera", [this](const json& args, const auto& caller, Reply reply) {
    take_snapshot(args, caller, std::move(reply));
  });
  add_verb("media.list", Access::read, "limit?, held?",
           [this](const json& args, const auto&, Reply reply) { list_pictures(args, std::move(reply)); });
  add_verb("media.show", Access::read, "picture",
           [this](const json& args, const auto& caller, Reply reply) { show_picture(args, caller, std::move(reply)); });
  add_verb("media.upload", Access::change, "picture", [this](const json& args, const auto& caller, Reply reply) {
    upload_picture(args, caller, std::move(reply));
  });
  add_verb("media.hold", Access::change, "picture", [this](const json& args, const auto& caller, Reply reply) {
    hold_picture(true, args, caller, std::move(reply));
  });
  add_verb("media.release", Access::change, "picture", [this](const json& args, const auto& caller, Reply reply) {
    hold_picture(false, args, caller, std::move(reply));
  });
}

// The name that both have; nothing where the journal takes none.
std::optional<std::string> Box::store_picture(MonoTime at, EyesLink::Jpegs jpegs, const json& about) {
  const auto thumbnail = journal_->append_media(at, std::move(jpegs.thumbnail));
  if (!thumbnail) {
    log::warning("a picture was not kept", {{"about", about.dump()}, {"why", thumbnail.error().message}});
    return {};
  }
  auto name = contract::media_name(thumbnail->epoch, thumbnail->seq);
  if (!pictures_->keep(name, std::move(jpegs.full), about)) {
    log::warning("only the thumbnail of a picture was kept: the disk is slow", {{"picture", name}});
  }
  return name;
}

void Box::audit_picture(std::string_view act, std::string_view picture, std::string_view by, json more) {
  more["act"] = act;
  more["picture"] = picture;
  more["by"] = by;
  const Event event{.source = "gateway",
                    .kind = "picture",
                    .phase = Phase::once,
                    .id = random_hex64(),
                    .at = clock_.mono(),
                    .detail = std::move(more)};
  // At the end what waits is still to be sent.
  const auto urgency = sensing_ ? journal::Urgency::window : journal::Urgency::now;
  store(contract::Lane::event, contract::encode_event(event, clock_.mono()), urgency);
}

void Box::take_snapshot(const json& args, const control::Caller& caller, Reply reply) {
  Args in{args};
  const auto camera = in.text("camera");
  if (auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
  eyes_->snapshot(camera, [this, camera, by = caller.name, reply = std::move(reply)](Result<EyesLink::Shot> shot) {
    if (!shot) return reply(refuse_snapshot(camera, shot.error()));
    const auto bytes = shot->jpegs.full.size();
    Event event{.source = camera,
                .kind = "snapshot",
                .phase = Phase::once,
                .id = random_hex64(),
                .at = shot->at,
                .detail = {{"by", by}}};
    const auto name = store_picture(shot->at, std::move(shot->jpegs),
                                    {{"camera", camera}, {"kind", event.kind}, {"event", event.id}});
    if (!name) return reply(refuse(Errc::full, texts::disk_is_busy()));
    event.media.push_back(*name);
    emit(event);
    reply(json{{"camera", camera},
               {"picture", *name},
               {"bytes", bytes},
               {"event", event.id},
               {"ts", to_ms(journal_->date({journal_->boot(), shot->at}).wall)}});
  });
}

void Box::list_pictures(const json& args, Reply reply) {
  Args in{args};
  const auto limit = in.integer_or("limit", 100, 1, kMaxListed);
  const auto held = in.integer_or("held", 0, 0, 1);
  if (auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
  pictures_->list(static_cast<std::size_t>(limit), held == 1,
                  [this, reply = std::move(reply)](const Result<PictureStore::Listing>& list) {
                    if (!list) return reply(refuse_picture({}, list.error()));
                    auto rows = json::array();
                    for (const auto& picture : list->pictures) {
                      auto row = json::parse(picture.about, nullptr, false);
                      if (!row.is_object()) row = json::object();
                      row["picture"] = picture.name;
                      row["bytes"] = picture.bytes;
                      row["ts"] = to_ms(picture.at);
                      row["held"] = picture.held;
                      rows.push_back(std::move(row));
                    }
                    reply(json{{"pictures", std::move(rows)},
                               {"used_bytes", list->bytes},
                               {"held_bytes", list->held_bytes},
                               {"budget_bytes", settings_.pictures.budget_bytes},
                               {"keep_days", settings_.pictures.keep.count()}});
                  });
}

void Box::show_picture(const json& args, const control::Caller& caller, Reply reply) {
  const auto name = asked_picture(args, reply);
  if (!name) return;
  pictures_->read(*name,
                  [this, name = *name, by = caller.name, reply = std::move(reply)](const Result<std::string>& jpeg) {
                    if (!jpeg) return reply(refuse_picture(name, jpeg.error()));
                    audit_picture("view", name, by);
                    reply(json{{"picture", name}, {"jpeg", base64(*jpeg)}});
                  });
}

// The whole picture, as a picture of its own in the lane `media`.
void Box::upload_picture(const json& args, const control::Caller& caller, Reply reply) {
  const auto name = asked_picture(args, reply);
  if (!name) return;
  pictures_->read(*name, [this, name = *name, by = caller.name, reply = std::move(reply)](Result<std::string> jpeg) {
    if (!jpeg) return reply(refuse_picture(name, jpeg.error()));
    const auto sent = journal_->append_media(clock_.mono(), *std::move(jpeg));
    if (!sent) return reply(refuse(sent.error().code, texts::pictures_fail(sent.error().message)));
    const auto as = contract::media_name(sent->epoch, sent->seq);
    audit_picture("upload", name, by, {{"as", as}});
    reply(json{{"picture", name}, {"as", as}});
  });
}

void Box::hold_picture(bool held, const json& args, const control::Caller& caller, Reply reply) {
  const auto name = asked_picture(args, reply);
  if (!name) return;
  pictures_->hold(*name, held,
                  [this, held, name = *name, by = caller.name, reply = std::move(reply)](const Status& done) {
                    if (!done) return reply(refuse_picture(name, done.error()));
                    audit_picture(held ? "hold" : "release", name, by);
                    reply(json{{"picture", name}, {"held", held}});
                  });
}

}  // namespace hamlet::daemon
