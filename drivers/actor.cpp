#include "drivers/actor.hpp"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <set>
#include <system_error>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "drivers/texts.hpp"

namespace hamlet::drivers {
namespace {

std::string_view why_of(Errc code) {
  switch (code) {
    case Errc::not_found:
      return "not-there";
    case Errc::timeout:
      return "timeout";
    case Errc::unavailable:
      return "unavailable";
    case Errc::denied:
      return "denied";
    case Errc::invalid:
    case Errc::failed:
    case Errc::full:
    case Errc::corrupt:
    case Errc::cancelled:
      return "failed";
  }
  return "failed";
}

}  // namespace

Job::Job() : event_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)} {
  if (event_ < 0) throw std::system_error{errno, std::generic_category(), "eventfd"};
}

Job::~Job() {
  ::close(event_);
}

void Job::halt() {
  halted_ = true;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(event_, &one, sizeof one);
}

bool Job::rest(Millis time) const {
  pollfd end{event_, POLLIN, 0};
  return ::poll(&end, 1, static_cast<int>(time.count())) == 0 && !halted_;
}

bool Job::await(int fd, short events, Millis time) const {
  const auto until = std::chrono::steady_clock::now() + time;
  for (;;) {
    const auto left = std::chrono::ceil<Millis>(until - std::chrono::steady_clock::now());
    if (halted_ || left <= Millis{0}) return false;
    pollfd both[]{{fd, events, 0}, {event_, POLLIN, 0}};
    const int ready = ::poll(both, 2, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) return false;
    if (ready > 0 && both[0].revents != 0) return !halted_;
  }
}

Actor::Actor(std::string thread, std::map<std::string, Does> outputs, const Surroundings& around, Look look,
             Millis every)
    : io_{around.io},
      report_{around.report},
      look_{std::move(look)},
      every_{every},
      timer_{around.io},
      worker_{std::move(thread), kMostJobs} {
  for (auto& [id, does] : outputs) outputs_.try_emplace(id, *this, std::move(does));
}

Actor::~Actor() {
  stop();
}

void Actor::start() {
  if (look_) this->look();
}

void Actor::stop() {
  if (std::exchange(stopped_, true)) return;
  timer_.cancel();
  for (const auto& weak : jobs_) {
    if (const auto job = weak.lock()) job->halt();
  }
  worker_.stop(Worker::Drain::no);
}

Output* Actor::output(std::string_view id) {
  const auto found = outputs_.find(id);
  return found == outputs_.end() ? nullptr : &found->second;
}

std::shared_ptr<Job> Actor::new_job() {
  std::erase_if(jobs_, [](const auto& weak) { return weak.expired(); });
  auto job = std::make_shared<Job>();
  jobs_.push_back(job);
  return job;
}

void Actor::answer(std::function<void(Status)> done, Status status) {
  boost::asio::post(io_, [weak = weak_from_this(), done = std::move(done), status = std::move(status)] {
    const auto self = weak.lock();
    if (self && !self->stopped_) done(status);
  });
}

void Actor::Handle::set(const Value& value, std::function<void(Status)> done) {
  if (!does_.plays) return actor_.run(*this, value, std::move(done));
  if (last_ == value) return actor_.answer(std::move(done), {});
  if (playing_) std::exchange(playing_, nullptr)->halt();
  last_ = value;
  if (value == Value{false}) return actor_.answer(std::move(done), {});
  actor_.run(*this, value, std::move(done));
}

void Actor::run(Handle& handle, const Value& value, std::function<void(Status)> done) {
  if (stopped_) return;
  auto job = new_job();
  if (handle.does_.plays) handle.playing_ = job;
  // Once, whichever comes first: the job confirms, or it ends.
  auto tell_once = [told = std::make_shared<bool>(false), done](const Status& status) {
    if (!std::exchange(*told, true)) done(status);
  };
  job->confirm = [this, weak = weak_from_this(), tell_once] {
    boost::asio::post(io_, [weak, tell_once] {
      const auto self = weak.lock();
      if (!self || self->stopped_) return;
      self->tell({});
      tell_once({});
    });
  };
  const bool taken =
      worker_.post([this, weak = weak_from_this(), job, act = handle.does_.act, value, tell_once, &handle] {
        auto status = job->halted() ? Status{fail(Errc::cancelled, "not wanted any more")} : act(value, *job);
        job->confirm = {};
        boost::asio::post(io_, [weak, job, status = std::move(status), tell_once, &handle] {
          const auto self = weak.lock();
          if (!self || self->stopped_) return;
          if (!job->halted()) self->tell(status);
          if (!status && handle.playing_ == job) handle.last_.reset();  // to be tried anew
          tell_once(status);
        });
      });
  if (taken) return;
  handle.last_.reset();
  answer(std::move(done), fail(Errc::full, fmt::format("{} orders wait for this device already", kMostJobs)));
}

void Actor::tell(const Status& status) {
  if (status) return report_.answered({});
  report_.failed(std::string{why_of(status.error().code)}, status.error().message);
}

void Actor::look() {
  const bool taken = worker_.post([this, weak = weak_from_this(), job = new_job()] {
    boost::asio::post(io_, [weak, seen = look_(*job)] {
      const auto self = weak.lock();
      if (self && !self->stopped_) self->on_look(seen);
    });
  });
  if (!taken) on_look(std::vector<Reading>{});  // so much is done that a look tells nothing
}

void Actor::on_look(const Result<std::vector<Reading>>& seen) {
  if (seen) {
    report_.answered(*seen);
  } else {
    tell(fail(seen.error()));
  }
  if (every_ == Millis{0}) return;
  timer_.expires_after(every_);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!error && self && !self->stopped_) self->look();
  });
}

std::vector<OutputInfo> read_outputs(const config::Table& device, const std::string& id,
                                     const std::function<void(const config::Table&, OutputInfo&)>& own) {
  std::vector<OutputInfo> infos;
  std::set<std::string> seen;
  for (const auto& table : device.tables("output")) {
    const auto name = table.id("id");
    if (table.has("id") && !seen.insert(name).second) table.error("id", texts::output_twice(name));
    infos.push_back(
        {.output = fmt::format("{}.{}", id, name), .name = table.both_or("name", {.zh = name, .en = name})});
    own(table, infos.back());
  }
  return infos;
}

}  // namespace hamlet::drivers
