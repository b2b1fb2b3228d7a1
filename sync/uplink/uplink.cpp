#include "sync/uplink/uplink.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <initializer_list>
#include <optional>
#include <set>
#include <utility>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "firmware/core/log.hpp"
#include "sync/uplink/backlog.hpp"
#include "sync/uplink/backoff.hpp"
#include "firmware/wire/resolver.hpp"
#include "sync/uplink/gzip.hpp"
#include "sync/uplink/link_test.hpp"
#include "sync/uplink/pacer.hpp"
#include "sync/uplink/texts.hpp"

// How it works, on one page:
//
//   connect() ----------> connected() ------> birth ------------> online
//      ^     wire client      |   state, meta, snapshots: outbox     |  all of it acknowledged
//      |                      v                                      v
//   retry timer <----- went_offline(why) <---- disconnected, refused, silent for two keepalives
//
// pump() sends what choose() says is next, as long as the client's window of at most 20 messages and the Pacer let it. The order: `state`
// at a birth; live alarms, which ask no Pacer and have places in the window kept for them; the outbox (everything outside the lanes); live
// events; then live readings and pictures on one side, all that is history, by lane, on the other, as `live_share` has it; what the county
// asks for again. acked() moves the lanes' positions and pumps again. That is all the road there is; a lost link forgets what was in flight,
// and the next session starts behind the positions.
//
// Several uplinks would be several of this class, each with the name of its positions (Backlog::kName) and its part of the link; a schedule
// or a data plan is one more thing for the Pacer to say no by.

namespace hamlet::uplink {

namespace {

using contract::Lane;
using nlohmann::json;

constexpr std::size_t kMaxOutbox = 1'000;
constexpr Millis kTick{250};
constexpr Millis kCheckDeadline{10'000};
constexpr Millis kCertificatesEvery{86'400'000};
constexpr int kRateExceeded = 0x96, kQuotaExceeded = 0x97;  // reasons of MQTT 5
constexpr Millis kMarkWait{1'000};          // for what the broker remembers of us; longer where connecting took longer
constexpr Millis kDurableWait{10'000};      // for the disk, at a birth
constexpr Millis kAckPatience{86'400'000};  // where the county has stored nothing more of a lane for so long, it is sent again

/// A message's cookie: a lane, an epoch's generation (its lower 20 bits) and a number, or one of the outbox's.
constexpr unsigned kLaneShift = 60;
constexpr unsigned kGenerationShift = 40;
constexpr std::uint64_t kGenerationMask = (1U << (kLaneShift - kGenerationShift)) - 1;
constexpr std::uint64_t kOutbox = 0;
constexpr std::uint64_t kBirth = 1;
constexpr std::uint64_t kLeftBehind = 2;
constexpr std::uint64_t kUnanswered = 3;  // QoS 0
constexpr std::uint64_t kReplay = contract::kLaneCount + 1;  // where a lane would be; instead of the generation the replay's number
constexpr std::size_t kMaxReplays = 64;
constexpr std::size_t kMaxRetained = 64;
constexpr std::size_t kKept = 2;        // places in the window, for alarms
constexpr std::size_t kTogether = 16 * 1'024;  // bytes of batches in one compressed message: about 2 kB on the link
constexpr std::size_t kOverhead = 100;  // bytes: headers of MQTT and TCP/IP for a message and its acknowledgement
// So many of the newest records go first after an outage, in order: all of a short story, the last of a long one.
constexpr std::array<std::size_t, contract::kLaneCount> kLive{20, 20, 1, 1};
std::uint64_t cookie_of(std::uint64_t which, std::uint64_t generation, std::uint64_t seq) {
  return which << kLaneShift | (generation & kGenerationMask) << kGenerationShift | seq;
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

struct Uplink::Impl : std::enable_shared_from_this<Impl> {
  enum class State { off, offline, connecting, birth, online };

  Impl(boost::asio::io_context& io_context, Clock& the_clock, Options the_options, contract::Topics the_topics,
       journal::Journal& the_journal, Hooks the_hooks)
      : io{io_context},
        clock{the_clock},
        options{std::move(the_options)},
        topics{std::move(the_topics)},
        journal{the_journal},
        hooks{std::move(the_hooks)},
        commit_window{journal.stat().window},
        backoff{options.backoff_base, options.backoff_max, options.seed},
        quota_backoff{options.backoff_quota, 100 * options.backoff_quota, options.seed},
        pacer{options.max_kbit},
        share{options.live_share},
        retry_timer{io},
        tick_timer{io},
        pace_timer{io},
        resolver{io, look_up()} {
    take_up_epochs();
  }

  /// By priority; within a lane earlier epochs first, as long as something is left of them.
  void take_up_epochs() {
    lanes.clear();
    const auto& epochs = journal.epochs();
    for (const auto lane : contract::kLanes) {
      for (const auto& epoch : epochs) {
        const bool goes_on = &epoch == &epochs.back();
        const Backlog::Plan plan{.live = goes_on ? kLive.at(contract::index(lane)) : 0,
                                 .order = options.newest_first ? Backlog::Order::newest : Backlog::Order::oldest,
                                 .commit_window = commit_window};
        auto backlog = std::make_unique<Backlog>(journal, epoch, lane, plan, [this] { pump(); });
        if (goes_on || !backlog->position().pending(backlog->last()).empty()) lanes.push_back(std::move(backlog));
      }
    }
  }

  void epochs_changed() {
    for (const auto& lane : lanes) lane->store();
    take_up_epochs();
    if (!born) return;
    publish_state(kOutbox);
    publish_snapshots(kOutbox);
    committed();
  }

  [[nodiscard]] Backlog* lane_of(std::uint64_t cookie) const {
    const auto which = cookie >> kLaneShift;
    const auto generation = cookie >> kGenerationShift & kGenerationMask;
    if (which == kReplay) {
      const auto one = std::find_if(replays.begin(), replays.end(), [&](const auto& each) { return each.number == generation; });
      return one == replays.end() ? nullptr : one->records.get();
    }
    const auto found = std::find_if(lanes.begin(), lanes.end(), [&](const auto& lane) {
      return contract::index(lane->lane()) + 1 == which && (lane->generation() & kGenerationMask) == generation;
    });
    return found == lanes.end() ? nullptr : found->get();
  }

  // ---- the states ----

  void start() {
    if (!options.enabled || client) return;
    brokers = {options.broker};
    brokers.insert(brokers.end(), options.fallback_brokers.begin(), options.fallback_brokers.end());
    checker = std::make_unique<wire::LinkChecker>(io);
    client = std::make_unique<wire::MqttClient>(
        io, wire_options(),
        wire::MqttHandlers{.connected = [this](const wire::MqttSession& session) { connected(session); },
                           .disconnected = [this](const wire::LinkError& why) { went_offline(why); },
                           .acked = [this](std::span<const wire::MqttAck> acks) { acked(acks); },
                           .message = [this](wire::MqttMessage message) { arrived(std::move(message)); }},
        look_up());
    connect();
    tick();
  }

  [[nodiscard]] wire::MqttClient::LookUp look_up() const { return options.look_up ? options.look_up : &wire::look_up_by_libc; }

  [[nodiscard]] wire::BrokerAddress broker() const {
    return wire::parse_broker(brokers.at(at_broker)).value();  // read_options() has checked it
  }

  [[nodiscard]] wire::MqttOptions wire_options() const {
    wire::MqttOptions wire;
    wire.broker = broker();
    wire.tls = options.tls;
    wire.protocol = options.protocol;
    wire.client_id = options.client_id.empty() ? "hamlet-" + topics.gw() : options.client_id;
    wire.user = options.user;
    wire.password = options.password;
    wire.keepalive = options.keepalive;
    wire.session_expiry = options.session_expiry;
    wire.connect_deadline = options.connect_deadline;
    return wire;
  }

  void connect() {
    enter(State::connecting);
    connecting_since = clock.mono();
    client->set_broker(broker());
    client->set_will(
        {.topic = topics.at("state"), .payload = contract::render_offline(presence(), {}), .retained = true});
    client->connect();
  }

  void connected(const wire::MqttSession& session) {
    enter(State::birth);
    ++sessions;
    protocol = session.protocol;
    log::info("connected to the county", {{"broker", brokers.at(at_broker)}, {"mqtt", wire::to_string(session.protocol)}});
    for (const auto& lane : lanes) lane->rewind();
    for (const auto& replay : replays) replay.records->rewind();
    client->subscribe(options.county_ack ? std::vector{topics.at("cmd/#"), topics.at("ack")}
                                         : std::vector{topics.at("cmd/#")});
    if (marks_known) return prepare_birth();
    client->peek(topics.at("state"));  // look_around() or arrived() goes on
    marks_due = clock.mono() + std::max(kMarkWait, clock.mono() - connecting_since);
  }

  /// What the broker remembers of us is known, or there is nothing: are we a copy of a journal that went on elsewhere?
  void know_marks() {
    if (std::exchange(marks_known, true)) return;
    client->unpeek(topics.at("state"));
    prepare_birth();
  }

  void prepare_birth() {
    // What the snapshots say must be durable before it is said. The rest waits for a disk only so long.
    durable_due = clock.mono() + kDurableWait;
    journal.sync([weak = weak_from_this(), session = sessions](const Status& durable) {
      const auto self = weak.lock();
      if (!self || self->sessions != session || (self->state != State::birth && self->state != State::online)) return;
      if (!self->born) return self->give_birth(durable.has_value());
      if (durable) self->publish_snapshots(kOutbox);
      self->pump();
    }, journal::Durable::urgent);
  }

  /// Where the disk fails the county still gets what is stored, but no alarm's present state.
  void give_birth(bool durable) {
    publish_state(kBirth);
    publish_meta(kBirth);
    if (durable) publish_snapshots(kBirth);
    for (const auto& id : hooks.gone ? hooks.gone() : std::vector<std::string>{}) {
      enqueue({.topic = topics.at("alarm/" + id), .payload = {}, .retained = true, .cookie = kBirth});
    }
    left_behind = 0;
    for (const auto& topic : hooks.left_behind ? hooks.left_behind() : std::vector<std::string>{}) {
      ++left_behind;
      enqueue({.topic = topic, .payload = {}, .retained = true, .cookie = kLeftBehind});
    }
    health_due = clock.mono();
    born = true;
    pump();
  }

  void came_online() {
    enter(State::online);
    backoff.reset();
    last_error.reset();
    reported.clear();
    online_at = clock.mono();
    if (broker().tls) certificates_due = online_at;
    if (hooks.cleared) hooks.cleared();
  }

  /// Gives the session up: the link is no good, or the broker refuses what we must not lose.
  void lose(const wire::LinkError& why) {
    client->drop();
    went_offline(why);
  }

  void went_offline(const wire::LinkError& why) {
    const bool was_online = state == State::online;
    // The same once more tells no more than what has been found out about it; that is looked at again now and then.
    if (reported != why.message) {
      log::warning("no link to the county", {{"broker", brokers.at(at_broker)}, {"why", why.message}});
      reported = why.message;
      last_error = why;
      diagnosis_due = clock.mono();
    }
    if (clock.mono() >= diagnosis_due) diagnose(why);
    end_session();
    at_broker = was_online ? 0 : (at_broker + 1) % brokers.size();
    retry_in(!was_online && at_broker != 0 ? Millis{0} : wait_after(why));
  }

  void end_session() {
    outbox.clear();
    birth_left = 0;
    born = false;
    on_way.clear();
    pacer.reset();
    enter(State::offline);
  }

  /// After the last of the list. Who is refused does not hammer, who is too many comes back later.
  Millis wait_after(const wire::LinkError& why) {
    if (why.code == Errc::denied) {
      Backoff half{options.backoff_refused / 2, options.backoff_refused / 2, options.seed};
      return options.backoff_refused / 2 + half.next();
    }
    if (why.code == Errc::full) return options.backoff_quota / 2 + quota_backoff.next();
    return backoff.next();
  }

  void retry_in(Millis wait) {
    retry_timer.expires_after(wait);
    retry_timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      if (error) return;
      if (const auto self = weak.lock(); self && self->state == State::offline) self->connect();
    });
  }

  // ---- what is wrong with the way there ----

  /// Runs check_link() on a broker; `then` only where there is something to tell.
  void check(const wire::BrokerAddress& target, std::function<void(const wire::LinkReport&)> then) {
    const auto run = [weak = weak_from_this(), target, then = std::move(then)](const std::string& address) {
      const auto self = weak.lock();
      if (self && self->checker) self->checker->check(address, target, self->options.tls, kCheckDeadline, then);
    };
    boost::system::error_code is_name;
    (void)boost::asio::ip::make_address(target.host, is_name);
    if (!is_name) return run(target.host);
    (void)resolver.resolve(target.host, [run](Result<std::vector<std::string>> found) {
      if (found) run(found->front());
    });
  }

  void diagnose(const wire::LinkError& why) {
    const bool may_tell_more = why.code == Errc::unavailable || why.fault == "no-answer";
    if (!may_tell_more || !client) return;
    diagnosis_due = clock.mono() + options.backoff_max;
    check(broker(), [this](const wire::LinkReport& report) {
      if (!report.trouble || state == State::online || (last_error && last_error->message == report.trouble->message)) return;
      log::warning("why there is no link", {{"fault", report.trouble->fault}, {"why", report.trouble->message}});
      last_error = report.trouble;
    });
  }

  void look_at_certificates() {
    certificates_due = clock.mono() + kCertificatesEvery;
    check(broker(), [this](const wire::LinkReport& report) {
      expires = report.expires;
      own_expires = report.own_expires;
    });
  }

  /// From another broker back to the first, once that can be reached.
  void look_for_first() {
    online_at = clock.mono();
    const auto first = wire::parse_broker(brokers.front()).value();
    check(first, [this](const wire::LinkReport& report) {
      if (report.trouble || state != State::online || at_broker == 0) return;
      log::info("the first broker is back", {{"broker", brokers.front()}});
      client->drop();
      at_broker = 0;
      end_session();
      retry_in(Millis{0});
    });
  }

  json warnings() const {
    auto out = json::array();
    const auto soon = clock.wall() + kExpiresSoon;
    const auto add = [&](const char* id, const Text& text) { out.push_back({{"id", id}, {"text", {{"zh", text.zh}, {"en", text.en}}}}); };
    const auto day = [](WallTime at) { return to_iso_utc(at).substr(0, 10); };
    if (expires && *expires < soon) add("cert-expires", texts::cert_expires(broker().host, day(*expires)));
    if (own_expires && *own_expires < soon) add("own-cert-expires", texts::own_cert_expires(day(*own_expires)));
    return out;
  }

  void test_link(std::function<void(Asked<json>)> then) {
    static_assert(LinkTest::kDeadline < kTestWithin);
    if (!client) return then(refuse(Errc::unavailable, texts::not_enabled()));
    if (link_test) return then(refuse(Errc::unavailable, texts::test_is_running()));
    auto wire = wire_options();
    wire.client_id += "-test";
    link_test = std::make_unique<LinkTest>(
        io, std::move(wire),
        wire::MqttPublish{.topic = topics.at("reply/test"), .payload = dump(signed_by_us({{"id", "uplink-test"}, {"ok", true}, {"result", json::object()}}))},
        clock.wall(), look_up());
    link_test->run([this, then = std::move(then), where = brokers.at(at_broker)](json steps) {
      steps["broker"] = where;
      boost::asio::post(io, [weak = weak_from_this()] {  // not from within
        if (const auto self = weak.lock()) self->link_test.reset();
      });
      then(std::move(steps));
    });
  }

  void stop() {
    if (!client) return;
    retry_timer.cancel();
    tick_timer.cancel();
    pace_timer.cancel();
    resolver.cancel();
    checker.reset();
    link_test.reset();
    client->stop(wire::MqttPublish{
        .topic = topics.at("state"), .payload = contract::render_offline(presence(), now()), .retained = true});
    client.reset();
    born = false;
    enter(State::off);
  }

  void enter(State next) {
    if (state == next) return;
    state = next;
    since = clock.wall();
  }

  // ---- the road ----

  /// What goes next.
  struct Choice {
    Backlog* lane = nullptr;  // null: the outbox's front
    Backlog::Part part = Backlog::Part::rest;
    std::uint64_t which = 0;   // of the cookie
    std::uint64_t number = 0;  // likewise: generation, or the replay's
    bool urgent = false;
    bool shared = false;  // live and history both wait
  };

  std::optional<Choice> choose() {
    using Part = Backlog::Part;
    const auto first = [this](Part part, std::initializer_list<Lane> of) -> std::optional<Choice> {
      if (!journal.settled()) return {};
      for (const auto& lane : lanes) {
        if (std::find(of.begin(), of.end(), lane->lane()) == of.end() || !lane->front(part)) continue;
        return Choice{.lane = lane.get(), .part = part, .which = contract::index(lane->lane()) + 1, .number = lane->generation()};
      }
      return {};
    };
    if (!outbox.empty() && outbox.front().topic == topics.at("state")) return Choice{.urgent = true};
    if (auto alarm = first(Part::live, {Lane::alarm})) {
      alarm->urgent = true;
      return alarm;
    }
    if (!outbox.empty()) return Choice{};
    if (auto event = first(Part::live, {Lane::event})) return event;
    auto live = first(Part::live, {Lane::tele, Lane::media});
    auto rest = first(Part::rest, {Lane::alarm, Lane::event, Lane::tele, Lane::media});
    if (!rest) {
      if (auto* replay = next_replay()) rest = Choice{.lane = replay->records.get(), .which = kReplay, .number = replay->number};
    }
    if (!live || !rest) {
      if (live || rest) share.alone();
      return live ? live : rest;
    }
    auto& next = share.live_is_next() ? live : rest;
    next->shared = true;
    return next;
  }

  void pump() {
    if (!born) return;
    const auto now = clock.mono();
    for (const auto& lane : lanes) lane->age(now);
    for (;;) {
      const auto in_flight = client->inflight();
      const auto room = client->window_left();
      if (in_flight == 0) last_progress = now;
      if (room == 0) break;
      const auto next = choose();
      if (!next) break;
      if (!next->urgent) {
        const auto kept = in_flight + room > 2 * kKept ? kKept : 0;
        if (room <= kept) {
          pacer.note_limit(now);
          break;
        }
        if (!pacer.may_send(now)) {
          wait_for_pacer(now);
          break;
        }
      }
      if (!(next->lane != nullptr ? send_front(*next) : send_outbox())) return;
    }
    if (state == State::birth && outbox.empty() && birth_left == 0) came_online();
  }

  void wait_for_pacer(MonoTime now) {
    const auto wait = pacer.wait(now);
    if (wait == Millis{0}) return;
    pace_timer.expires_after(wait);
    pace_timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      if (error) return;
      if (const auto self = weak.lock()) self->pump();
    });
  }

  /// The oldest request that has something to send and goes on; those that are done are gone.
  struct Replay;
  Replay* next_replay() {
    std::erase_if(replays, [](const Replay& each) { return each.records->position().prefix >= each.records->last(); });
    if (replays.empty()) return nullptr;
    replays.front().records->read_ahead();
    return replays.front().records->front(Backlog::Part::rest) ? &replays.front() : nullptr;
  }

  bool send_outbox() {
    auto message = std::move(outbox.front());
    outbox.pop_front();
    return hand_over(std::move(message)).has_value();
  }

  bool send_front(const Choice& choice) {
    Backlog& lane = *choice.lane;
    const journal::Record& record = *lane.front(choice.part);
    wire::MqttPublish message{.topic = {}, .payload = {}, .cookie = cookie_of(choice.which, choice.number, record.seq)};
    if (lane.lane() == Lane::media) {
      const auto name = contract::media_name(lane.epoch(), record.seq);
      if (hooks.picture) hooks.picture(name);
      message.topic = topics.at("media/" + name);
      message.payload = lane.take_picture(choice.part);
    } else {
      auto payload = render(lane, record);
      if (!payload) {
        const auto seq = record.seq;
        log::error("a record cannot be sent",
                   {{"lane", contract::to_string(lane.lane())}, {"seq", seq}, {"error", payload.error().message}});
        lane.pop(choice.part);
        lane.done(seq);
        return true;
      }
      message.topic = topics.at(record.body.topic);
      message.payload = std::move(*payload);
    }
    lane.pop(choice.part);
    auto with = choice.part == Backlog::Part::rest && lane.lane() == Lane::tele && compresses() ? add_lines(lane, message.payload)
                                                                                              : std::vector<std::uint64_t>{};
    const auto bytes = hand_over(std::move(message), std::move(with));
    if (bytes && choice.shared) share.sent(choice.part == Backlog::Part::live, *bytes);
    return bytes.has_value();
  }

  Result<std::string> render(const Backlog& lane, const journal::Record& record) const {
    const contract::Envelope envelope{.gw = topics.gw(),
                                      .epoch = lane.epoch(),
                                      .lane = lane.lane(),
                                      .seq = record.seq,
                                      .at = record.at,
                                      .hist = is_history(record.at, journal.boot(), clock.mono(), commit_window),
                                      .rev = record.rev};
    return contract::render(record.body, envelope, date, &journal.names());
  }

  /// More of the rest, a line each, for as long as the next is likely to fit; gives their numbers.
  std::vector<std::uint64_t> add_lines(Backlog& lane, std::string& payload) const {
    std::vector<std::uint64_t> added;
    for (auto size = payload.size(); payload.size() + size <= kTogether;) {
      const auto* record = lane.front(Backlog::Part::rest);
      const auto line = record != nullptr ? render(lane, *record) : std::string{};
      if (!line || line->empty()) break;
      payload.append(1, '\n').append(*line);
      size = line->size();
      added.push_back(record->seq);
      lane.pop(Backlog::Part::rest);
    }
    return added;
  }

  [[nodiscard]] bool compresses() const { return options.compress && protocol == wire::MqttProtocol::v5; }

  /// Its bytes on the link; nothing: the session is over. `with`: the numbers of the lines behind its first.
  std::optional<std::size_t> hand_over(wire::MqttPublish message, std::vector<std::uint64_t> with = {}) {
    // What is retained stays as it is for consumers that cannot see how it was encoded; JPEGs do not shrink.
    if (compresses() && !message.retained && message.payload.starts_with('{')) {
      if (auto small = gzip.shrink(message.payload)) {
        message.payload = std::move(*small);
        message.encoding = "gzip";
      }
    }
    const auto bytes = message.topic.size() + message.payload.size() + kOverhead;
    const auto cookie = message.cookie;
    const bool answered = message.qos > 0;
    if (const auto taken = client->publish(std::move(message)); !taken) {
      lose({taken.error().code, "lost", texts::plain(taken.error().message)});
      return {};
    }
    if (answered) on_way.push_back({cookie, pacer.sent(bytes, clock.mono()), std::move(with)});
    return bytes;
  }

  /// Gives the numbers of the lines behind its first.
  std::vector<std::uint64_t> note_delivery(std::uint64_t cookie) {
    const auto found = std::find_if(on_way.begin(), on_way.end(), [&](const auto& each) { return each.cookie == cookie; });
    if (found == on_way.end()) return {};
    pacer.acked(found->sent, clock.mono());
    auto with = std::move(found->with);
    on_way.erase(found);
    return with;
  }

  void acked(std::span<const wire::MqttAck> acks) {
    last_progress = clock.mono();
    std::optional<wire::LinkError> refusal;
    for (const auto& ack : acks) {
      const auto with = note_delivery(ack.cookie);
      const auto which = ack.cookie >> kLaneShift;
      if (ack.cookie == kLeftBehind) {  // a refusal stops nothing: the box may have no access there any more
        if (ack.refused()) log::warning("the broker keeps what is retained under an old base", {{"why", wire::reason_text(ack.reason)}});
        if (--left_behind == 0 && hooks.left) hooks.left();
      } else if (ack.refused()) {
        const std::string what{which == 0         ? "what is outside the lanes"
                               : which == kReplay ? "what is sent again"
                                                  : contract::to_string(contract::kLanes.at(which - 1))};
        const auto reason = wire::reason_text(ack.reason);
        if (ack.reason == kQuotaExceeded || ack.reason == kRateExceeded) {
          refusal = wire::LinkError{Errc::full, "quota", texts::over_quota(what, reason)};
        } else {
          refusal = wire::LinkError{Errc::denied, "no-access", texts::refused(what, reason)};
        }
      } else if (which > 0) {
        quota_backoff.reset();
        if (auto* lane = lane_of(ack.cookie)) {
          lane->done(ack.cookie & ((1ULL << kGenerationShift) - 1));
          for (const auto seq : with) lane->done(seq);
        }
      } else if (ack.cookie == kBirth) {
        --birth_left;
      }
    }
    for (const auto& lane : lanes) {
      if (!options.county_ack) lane->stored(lane->position().prefix);
      lane->store();
    }
    take_stored();
    if (refusal) return lose(*refusal);
    pump();
  }

  // ---- outside the lanes ----

  /// Puts a message into the outbox; one of the same topic that waits there is replaced where it is a state.
  void enqueue(wire::MqttPublish message) {
    if (state != State::birth && state != State::online) return;
    const auto same = std::find_if(outbox.begin(), outbox.end(), [&](const auto& each) {
      return (message.retained || message.qos == 0) && each.topic == message.topic;
    });
    if (same != outbox.end()) {
      same->payload = std::move(message.payload);
      return;
    }
    if (outbox.size() >= kMaxOutbox) {
      log::warning("too much waits to be sent", {{"dropped", message.topic}});
      return;
    }
    if (message.cookie == kBirth) ++birth_left;
    outbox.push_back(std::move(message));
  }

  void publish_state(std::uint64_t cookie) {
    const auto here = presence();
    stated = contract::render_online(here, {});
    enqueue({.topic = topics.at("state"),
             .payload = contract::render_online(here, now()),
             .retained = true,
             .cookie = cookie});
  }

  void publish_meta(std::uint64_t cookie) {
    auto meta = hooks.meta();
    revision = meta.revision;
    meta.body["rev"] = revision;
    enqueue({.topic = topics.at("meta"),
             .payload = dump(signed_by_us(std::move(meta.body))),
             .retained = true,
             .cookie = cookie});
  }

  void publish_snapshots(std::uint64_t cookie) {
    for (const auto& alarm : hooks.alarms()) publish_snapshot(alarm, cookie);
  }

  void publish_snapshot(const Alarm& alarm, std::uint64_t cookie) {
    auto payload =
        contract::render_snapshot(alarm, topics.gw(), journal.epoch(), {journal.boot(), clock.mono()}, revision, date);
    if (!payload)
      return log::error("an alarm cannot be sent", {{"alarm", alarm.id}, {"error", payload.error().message}});
    enqueue(
        {.topic = topics.at("alarm/" + alarm.id), .payload = std::move(*payload), .retained = true, .cookie = cookie});
  }

  void publish_health() {
    enqueue({.topic = topics.at("health"), .payload = dump(signed_by_us(hooks.health())), .qos = 0, .cookie = kUnanswered});
    if (contract::render_online(presence(), {}) != stated) publish_state(kOutbox);
  }

  /// With what every message outside the lanes says about itself.
  json signed_by_us(json body) const {
    const auto time = now();
    body["gw"] = topics.gw();
    body["epoch"] = journal.epoch();
    body["ts"] = to_ms(time.wall);
    body["tq"] = to_string(time.quality);
    return body;
  }

  contract::Presence presence() const {
    contract::Presence here{
        .gw = topics.gw(), .epoch = journal.epoch(), .boot = journal.boot(), .firmware = HAMLET_VERSION};
    const auto newest = journal.epochs().back().generation;
    for (const auto& lane : lanes) {
      const auto last = lane->last();
      const contract::Presence::LaneProgress progress{last, lane->position().pending(last)};
      if (lane->generation() == newest) {
        here.lanes.at(contract::index(lane->lane())) = progress;
      } else if (!progress.pending.empty()) {
        here.older[lane->epoch()].at(contract::index(lane->lane())) = progress;
      }
    }
    return here;
  }

  contract::Dated now() const { return journal.date({journal.boot(), clock.mono()}); }

  // ---- what comes down ----

  void arrived(wire::MqttMessage message) {
    const auto kept = shared_from_this();  // a command may be the end of us: reload
    const std::string commands = topics.at("cmd/");
    if (message.topic == topics.at("ack")) return county_acked(message.payload);
    if (message.topic == topics.at("state")) {
      // Late, on a slow link, it tells as much; what we say of ourselves meanwhile is never ahead of us.
      if (!message.retained) return;
      if (const auto mark = contract::parse_state(message.payload)) journal.seen_elsewhere(mark->epoch, mark->stored);
      return know_marks();
    }
    if (!message.topic.starts_with(commands)) return;
    const std::string verb = message.topic.substr(commands.size());
    if (message.retained) {  // comes again with each session
      if (retained_ignored.size() < kMaxRetained && retained_ignored.insert(verb).second) ignore(verb, "retained");
      return;
    }
    auto command = contract::parse_command(verb, message.payload);
    if (!command) return ignore(verb, command.error().message);
    if (message.expires_in && !command->expires) command->expires = clock.wall() + *message.expires_in;
    hooks.command(*command, [weak = weak_from_this(), verb, id = command->id, to = std::move(message.response_topic),
                             correlation = std::move(message.correlation)](json answer) {
      const auto self = weak.lock();
      if (!self) return;
      answer["id"] = id;
      self->enqueue({.topic = to.empty() ? self->topics.at("reply/" + verb) : to,
                     .payload = dump(self->signed_by_us(std::move(answer))),
                     .correlation = correlation});
      self->pump();
    });
  }

  void ignore(std::string_view verb, std::string_view why) {
    log::warning("a command is ignored", {{"verb", verb}, {"why", why}});
    if (hooks.ignored) hooks.ignored(verb, why);
  }

  void county_acked(const std::string& payload) {
    if (!options.county_ack) return;
    auto acks = contract::parse_ack(payload);
    if (!acks) return log::warning("the county's ack is ignored", {{"error", acks.error().message}});
    for (const auto& ack : *acks) journal.seen_elsewhere(ack.epoch, ack.stored);
    county = std::move(*acks);
    take_stored();
  }

  /// What the county has stored, as far as we know it sent: its ack may come before the broker's, and does not come twice.
  void take_stored() {
    for (const auto& ack : county) {
      for (const auto& lane : lanes) {
        if (lane->epoch() != ack.epoch) continue;
        lane->stored(ack.stored.at(contract::index(lane->lane())));
        lane->store();
      }
    }
  }

  Asked<json> replay(const json& args) {
    const auto number = [&](const char* key) {
      const auto found = args.find(key);
      const bool good = found != args.end() && found->is_number_integer() && (found->is_number_unsigned() || *found > 0);
      return good ? found->get<std::uint64_t>() : 0;
    };
    const auto lane = contract::parse_lane(args.value("lane", ""));
    if (!lane) return refuse(Errc::invalid, texts::replay_lane());
    const auto& epochs = journal.epochs();
    const auto id = args.value("epoch", epochs.back().id);
    const auto epoch = std::find_if(epochs.begin(), epochs.end(), [&](const auto& each) { return each.id == id; });
    if (epoch == epochs.end()) return refuse(Errc::not_found, texts::replay_epoch(id));
    const auto last = epoch->last.at(contract::index(*lane));
    const contract::Range range{number("from"), std::min(number("to"), last)};
    if (range.from == 0 || range.from > range.to) return refuse(Errc::invalid, texts::replay_range(last));
    if (replays.size() >= kMaxReplays) return refuse(Errc::full, texts::replay_full());
    // Not at once: pump() ends a replay that is done, also the one that says so.
    const auto later = [this] {
      boost::asio::post(io, [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->pump();
      });
    };
    replays.push_back({++replay_number & kGenerationMask, std::make_unique<Backlog>(journal, *epoch, *lane, range, later)});
    later();
    return json{{"epoch", id}, {"lane", contract::to_string(*lane)}, {"from", range.from}, {"to", range.to}};
  }

  // ---- the watch ----

  void tick() {
    tick_timer.expires_after(kTick);
    tick_timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      if (error) return;
      if (const auto self = weak.lock()) {
        self->look_around();
        if (self->client) self->tick();
      }
    });
  }

  void look_around() {
    const auto time = clock.mono();
    if (state == State::birth && !marks_known && time >= marks_due) know_marks();
    if (state == State::birth && !born && marks_known && time >= durable_due) give_birth(false);
    if (!born) return;
    if (options.county_ack) {
      for (const auto& lane : lanes) lane->await_ack(time, kAckPatience);
    }
    // Keepalive finds a dead link that is idle; one that is not shows by what is never acknowledged.
    if (client->inflight() > 0 && time - last_progress > 2 * options.keepalive) {
      return lose({Errc::timeout, "half-open", texts::half_open(to_string(2 * options.keepalive))});
    }
    if (state == State::online && time >= certificates_due && broker().tls) look_at_certificates();
    if (state == State::online && at_broker != 0 && time - online_at >= options.return_after) look_for_first();
    if (state == State::online && time >= health_due) {
      health_due = time + options.health_every;
      publish_health();
    }
    committed();
  }

  void committed() {
    if (!born) return;
    for (const auto& lane : lanes) {
      lane->store();
      lane->read_ahead();
    }
    pump();
  }

  json status() const {
    static constexpr std::array kNames{"off", "offline", "connecting", "connecting", "online"};
    json out{{"state", kNames.at(static_cast<std::size_t>(state))},
             {"broker", brokers.empty() ? options.broker : brokers.at(at_broker)},
             {"protocol", wire::to_string(protocol)},
             {"since_ts", to_ms(since)},
             {"inflight", client ? client->inflight() : 0},
             {"inflight_bytes", pacer.in_flight()},
             {"rate_kbit", std::lround(pacer.bytes_per_second() * 8 / 1'000)},
             {"round_trip_ms", pacer.round_trip().count()},
             {"reconnects", sessions > 0 ? sessions - 1 : 0},
             {"lanes", json::object()}};
    if (last_error) {
      out["last_error"] = last_error->message;
      out["fault"] = last_error->fault;
      out["trouble"] = {{"zh", last_error->text.zh}, {"en", last_error->text.en}};
    }
    if (auto found = warnings(); !found.empty()) out["warnings"] = std::move(found);
    if (expires) out["certificates"]["broker"] = to_ms(*expires);
    if (own_expires) out["certificates"]["own"] = to_ms(*own_expires);
    const auto newest = journal.epochs().back().generation;
    std::uint64_t older = 0;
    for (const auto& lane : lanes) {
      const auto name = contract::to_string(lane->lane());
      const auto last = lane->last();
      std::uint64_t pending = 0;
      for (const auto& span : lane->position().pending(last)) pending += span.to - span.from + 1;
      if (lane->generation() != newest) {
        older += pending;
        continue;
      }
      out["lanes"][name] = {{"last", last}, {"sent", lane->highest_done()}, {"pending", pending}};
      if (options.county_ack) out["county"][name] = lane->position().stored;
    }
    if (older > 0) out["older_pending"] = older;
    if (!replays.empty()) out["replays"] = replays.size();
    return out;
  }

  boost::asio::io_context& io;
  Clock& clock;
  const Options options;
  const contract::Topics topics;
  journal::Journal& journal;
  const Hooks hooks;
  const Millis commit_window;
  const contract::DateFunction date = [this](Moment moment) { return journal.date(moment); };

  State state = State::off;
  WallTime since{};
  wire::MqttProtocol protocol = options.protocol;
  std::vector<std::string> brokers;  // once started
  std::size_t at_broker = 0;
  std::optional<wire::LinkError> last_error;
  std::string reported;  // the message of the last failure as it came, before it was looked into
  MonoTime diagnosis_due{};
  MonoTime online_at{};
  MonoTime certificates_due{};
  std::optional<WallTime> expires, own_expires;
  std::uint64_t sessions = 0;
  Backoff backoff;
  Backoff quota_backoff;
  Pacer pacer;
  Share share;
  Gzip gzip;
  struct OnWay {
    std::uint64_t cookie = 0;
    Pacer::Sent sent;
    std::vector<std::uint64_t> with;
  };
  std::deque<OnWay> on_way;  // oldest first, at most a window
  boost::asio::steady_timer retry_timer;
  boost::asio::steady_timer tick_timer;
  boost::asio::steady_timer pace_timer;
  wire::Resolver resolver;  // of check()

  bool born = false;           // this session may publish
  std::uint64_t revision = 0;  // of the last `meta`
  std::vector<std::unique_ptr<Backlog>> lanes;
  struct Replay {
    std::uint64_t number = 0;
    std::unique_ptr<Backlog> records;
  };
  std::deque<Replay> replays;  // oldest first
  std::uint64_t replay_number = 0;
  bool marks_known = false;  // what the broker remembers of us: asked for once a run
  MonoTime connecting_since{};
  MonoTime marks_due{};
  MonoTime durable_due{};
  std::vector<contract::Ack> county;  // its last ack
  std::deque<wire::MqttPublish> outbox;  // goes before the lanes
  std::set<std::string> retained_ignored;  // verbs
  std::size_t birth_left = 0;            // of the birth's messages, not yet acknowledged
  std::size_t left_behind = 0;  // topics under an old base that the broker has not answered for
  MonoTime last_progress{};
  MonoTime health_due{};
  std::string stated;  // what the last `state` said, without its time
  std::unique_ptr<wire::LinkChecker> checker;
  std::unique_ptr<LinkTest> link_test;
  std::unique_ptr<wire::MqttClient> client;  // last: its handlers use the rest
};

Uplink::Uplink(boost::asio::io_context& io, Clock& clock, Options options, contract::Topics topics,
               journal::Journal& journal, Hooks hooks)
    : impl_{std::make_shared<Impl>(io, clock, std::move(options), std::move(topics), journal, std::move(hooks))} {}

Uplink::~Uplink() {
  stop();
}

void Uplink::start() {
  impl_->start();
}
void Uplink::stop() {
  impl_->stop();
}
void Uplink::committed() {
  impl_->committed();
}

void Uplink::epochs_changed() {
  impl_->epochs_changed();
}

void Uplink::alarm_changed(const Alarm& alarm) {
  if (!impl_->born) return;  // the birth will say it
  impl_->journal.sync([weak = std::weak_ptr{impl_}, alarm](const Status& durable) {
    const auto impl = weak.lock();
    if (!impl || !durable) return;
    impl->publish_snapshot(alarm, kOutbox);
    impl->pump();
  }, journal::Durable::urgent);
}

void Uplink::meta_changed() {
  if (!impl_->born) return;
  impl_->publish_meta(kOutbox);
  impl_->publish_snapshots(kOutbox);
  impl_->pump();
}

Asked<nlohmann::json> Uplink::replay(const nlohmann::json& args) {
  return impl_->replay(args);
}

void Uplink::test(std::function<void(Asked<nlohmann::json>)> then) {
  impl_->test_link(std::move(then));
}

nlohmann::json Uplink::status() const {
  return impl_->status();
}

}  // namespace hamlet::uplink
