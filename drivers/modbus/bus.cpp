#include "drivers/modbus/bus.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <utility>

#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/require.hpp>
#include <fmt/format.h>

namespace hamlet::drivers::modbus {
namespace {

using std::chrono::steady_clock;

// This thread before others that want the processor: what it waits for is lost on the wire, and RTS has to turn within a
// character. Where that is not allowed (RLIMIT_RTPRIO) the bus is slower on a busy box, and all else is the same.
void go_first() {
  const sched_param least{.sched_priority = 1};
  (void)pthread_setschedparam(pthread_self(), SCHED_RR, &least);
}

constexpr int kDeadShare = 33;  // the dead may take one part in so many of a busy bus

// An answer to an earlier try is expected for so long, and may come so much later than the one before it.
constexpr std::chrono::seconds kLateAtMost{5};
constexpr std::chrono::milliseconds kLateMargin{50};

// What is written next. Coils that wait to be switched the same way come by address: nothing passes an order to switch
// the other way.
Write next_write(Member& member) {
  auto& orders = member.orders;
  auto write = orders.front().write;
  if (!write.coil || member.one_by_one) return write;
  const auto other = std::find_if(orders.begin(), orders.end(), [&](const auto& order) {
    return !order.write.coil || order.write.values != write.values;
  });
  std::stable_sort(orders.begin(), other,
                   [](const auto& a, const auto& b) { return a.write.address < b.write.address; });
  write = orders.front().write;
  const auto value = write.values.front();
  for (auto next = orders.begin() + 1; next != other && next->write.address == write.address + write.values.size() &&
                                       write.values.size() < kMostCoils;
       ++next) {
    write.values.push_back(value);
  }
  return write;
}

}  // namespace

Bus::Bus(boost::asio::io_context& io, const PortSettings& settings)
    : settings_{settings}, port_{std::make_shared<Port>(io, settings)}, timer_{io} {}

void Bus::add(std::shared_ptr<Member> member) {
  if (stopped_) return;
  member->due = steady_clock::now();
  members_.push_back(std::move(member));
  step();
}

void Bus::remove(const std::shared_ptr<Member>& member) {
  std::erase(members_, member);
  member->orders.clear();
  if (polling_ != member) return;
  port_->close();  // its answer must not be taken for another's
  polling_.reset();
  rest(member->settings.timeout);
  step();
}

void Bus::write(const std::shared_ptr<Member>& member, Write write,
                std::function<void(tl::expected<void, Fault>)> done) {
  if (stopped_) return;
  if (member->orders.size() >= kMostOrders) {
    done(tl::unexpected(Fault{.why = "full", .message = "too many writes wait for this device"}));
    return;
  }
  member->orders.push_back({std::move(write), member->settings.retries, std::move(done)});
  step();
}

void Bus::stop() {
  stopped_ = true;
  timer_.cancel();
  port_->close();
  polling_.reset();
  members_.clear();
}

void Bus::step() {
  if (stopped_ || port_->busy()) return;
  const auto now = steady_clock::now();
  if (now < ready_) return wake_at(ready_);
  if (auto* member = with_order()) return carry_out(*member);
  if (polling_) return ask();
  if (auto member = choose(now)) return begin(std::move(member), now);
  if (const auto next = next_time(now); next != Time::max()) wake_at(next);
}

void Bus::wake_at(Time time) {
  timer_.expires_at(time);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    if (error) return;
    if (const auto self = weak.lock()) self->step();
  });
}

Member* Bus::with_order() const {
  const auto it = std::find_if(members_.begin(), members_.end(), [](const auto& each) { return !each->orders.empty(); });
  return it == members_.end() ? nullptr : it->get();
}

std::optional<Bus::Time> Bus::live_due() const {
  std::optional<Time> first;
  for (const auto& each : members_) {
    if (each->failures == 0 && (!first || each->due < *first)) first = each->due;
  }
  return first;
}

// A dead device costs its timeout: nobody else may be due meanwhile, or it is within their share.
bool Bus::may_try(const Member& dead, Time now, std::optional<Time> live_due) const {
  return now >= dead_ready_ || !live_due || *live_due >= now + dead.settings.timeout + settings_.silence();
}

std::shared_ptr<Member> Bus::choose(Time now) const {
  const auto live = live_due();
  std::shared_ptr<Member> chosen;
  for (const auto& each : members_) {
    if (each->due > now || (each->failures > 0 && !may_try(*each, now, live))) continue;
    if (!chosen || each->due < chosen->due) chosen = each;
  }
  return chosen;
}

Bus::Time Bus::next_time(Time now) const {
  auto next = Time::max();
  for (const auto& each : members_) next = std::min(next, each->due > now ? each->due : dead_ready_);
  return next;
}

void Bus::begin(std::shared_ptr<Member> member, Time now) {
  polling_ = std::move(member);
  begun_ = now;
  if (polling_->unanswered && now - *polling_->unanswered > kLateAtMost) polling_->unanswered.reset();
  polling_->poll.begin(polling_->failures == 0 ? polling_->settings.retries : 0);
  ask();
}

void Bus::ask() {
  const auto* request = polling_->poll.asking();
  if (request == nullptr) return conclude();
  const auto& how = polling_->settings;
  asked_ = steady_clock::now();
  port_->exchange(how.unit, encode(*request), how.timeout, polling_->recorder.get(),
                  [weak = weak_from_this()](const auto& pdu) {
                    if (const auto self = weak.lock()) self->on_answer(pdu);
                  });
}

void Bus::on_answer(const tl::expected<Bytes, Fault>& pdu) {
  auto answer = pdu ? decode_answer(*polling_->poll.asking(), *pdu) : tl::unexpected(pdu.error());
  if (pdu && !answer && !answer.error().exception) port_->close();
  rest(settings_.silence() + late_answer(pdu.has_value()));
  polling_->poll.take(answer);
  if (polling_->poll.asking() == nullptr) {
    conclude();
  } else {
    step();
  }
}

// A frame on a serial line does not say which try it answers. Where tries went without one, this may be the first one's
// answer, and those of the others follow: so long they may not meet another request.
std::chrono::microseconds Bus::late_answer(bool came) {
  auto& first = polling_->unanswered;
  if (settings_.framing == Framing::tcp) return {};
  if (!came) {
    first = first.value_or(asked_);
    return {};
  }
  if (!first) return {};
  const auto since_first = asked_ - *std::exchange(first, std::nullopt);
  return std::chrono::duration_cast<std::chrono::microseconds>(since_first + kLateMargin);
}

void Bus::conclude() {
  const auto member = std::exchange(polling_, nullptr);
  const auto& how = member->settings;
  const auto now = steady_clock::now();
  auto polled = member->poll.finish();
  if (polled) {
    if (member->failures > 0) member->one_by_one = false;
    member->failures = 0;
    member->due += (1 + (now - member->due) / how.period) * how.period;
  } else {
    const auto live = live_due();
    const bool was_waited_for = live && *live < now;
    if (member->failures++ > 0 && was_waited_for) dead_ready_ = now + (now - begun_) * kDeadShare;
    const auto chance = std::uniform_real_distribution{}(random_);
    member->due = std::max(now, begun_ + retry_delay(how.period, how.backoff_max, member->failures, chance));
  }
  member->told(std::move(polled));
  step();
}

void Bus::carry_out(Member& member) {
  const auto it = std::find_if(members_.begin(), members_.end(), [&](const auto& each) { return each.get() == &member; });
  auto write = next_write(member);
  const auto pdu = encode(write);
  port_->exchange(member.settings.unit, pdu, member.settings.timeout, member.recorder.get(),
                  [weak = weak_from_this(), held = *it, write = std::move(write)](const auto& answer) {
                    if (const auto self = weak.lock()) self->on_confirmed(held, write, answer);
                  });
}

void Bus::on_confirmed(const std::shared_ptr<Member>& member, const Write& write,
                       const tl::expected<Bytes, Fault>& pdu) {
  rest(settings_.silence());
  auto& orders = member->orders;
  const auto count = write.coil ? write.values.size() : 1;
  if (orders.size() >= count) {  // else it was removed meanwhile
    const auto confirmed = pdu ? check_answer(write, *pdu) : tl::unexpected(pdu.error());
    if (!confirmed && count > 1) {
      member->one_by_one = true;
    } else if (confirmed || !is_silence(confirmed.error()) || orders.front().tries_left-- == 0) {
      const std::deque<Member::Order> done{std::make_move_iterator(orders.begin()),
                                           std::make_move_iterator(orders.begin() + static_cast<std::ptrdiff_t>(count))};
      orders.erase(orders.begin(), orders.begin() + static_cast<std::ptrdiff_t>(count));
      for (const auto& order : done) order.done(confirmed);
    }
  }
  step();
}

void Bus::rest(std::chrono::microseconds time) {
  ready_ = steady_clock::now() + time;
}

BusHost::BusHost(boost::asio::io_context& io, const PortSettings& settings, const std::string& name)
    : own_{settings.is_serial() ? std::make_unique<boost::asio::io_context>(1) : nullptr},
      io_{own_ ? *own_ : io},
      bus_{std::make_shared<Bus>(io_, settings)} {
  if (!own_) return;
  using boost::asio::execution::outstanding_work;
  thread_ = std::thread{[this, name, work = boost::asio::require(own_->get_executor(), outstanding_work.tracked)] {
    pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
    go_first();
    own_->run();
  }};
}

BusHost::~BusHost() {
  if (own_) {
    own_->stop();
    thread_.join();
  }
  bus_->stop();
}

}  // namespace hamlet::drivers::modbus
