#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "drivers/modbus/poll.hpp"
#include "drivers/modbus/port.hpp"

namespace hamlet::drivers::modbus {

/// How one device on a bus is asked.
struct MemberSettings {
  std::uint8_t unit = 1;
  Millis period{5000};
  Millis timeout{1000};
  unsigned retries = 2;
  Millis backoff_max{5000};
  std::uint32_t max_gap = 8;
  std::vector<Point> points;
};

/// A device as its bus knows it. Once added it belongs to the bus' thread.
struct Member {
  using Told = std::function<void(Polled)>;

  Member(const MemberSettings& how, const Clock& clock, std::shared_ptr<Recorder> records, Told listener)
      : settings{how}, poll{how.points, how.max_gap, clock}, recorder{std::move(records)}, told{std::move(listener)} {}

  struct Order {
    Write write;
    unsigned tries_left = 0;
    std::function<void(tl::expected<void, Fault>)> done;
  };

  const MemberSettings settings;
  Poll poll;
  const std::shared_ptr<Recorder> recorder;
  const Told told;
  std::chrono::steady_clock::time_point due{};
  unsigned failures = 0;  // polls in a row
  std::optional<std::chrono::steady_clock::time_point> unanswered{};  // the first try since the last answer
  std::deque<Order> orders;
  bool one_by_one = false;  // it did not confirm several coils at once
};

/// Who is asked when, on one wire. Runs on one io_context.
///
/// - One exchange at a time, with the silence between them that the wire needs. The one that is due longest is next; a
///   period that cannot be held is skipped, not caught up.
/// - Writes go first, between two requests of a poll if need be. Neighbouring coils that wait to be switched the same
///   way are switched by one (function 0F). A device that does not confirm that is written to one by one, until it was
///   away.
/// - A device that does not answer is asked once, without retries, when nobody else is waiting; where the bus is never
///   idle, all of them together get 3 % of its time.
class Bus : public std::enable_shared_from_this<Bus> {
 public:
  static constexpr std::size_t kMostOrders = 1024;  // waiting, of a member: a start tells all its outputs at once

  Bus(boost::asio::io_context& io, const PortSettings& settings);

  void add(std::shared_ptr<Member> member);
  void remove(const std::shared_ptr<Member>& member);
  /// Refused ("full") where too many wait.
  void write(const std::shared_ptr<Member>& member, Write write, std::function<void(tl::expected<void, Fault>)> done);
  void stop();

 private:
  using Time = std::chrono::steady_clock::time_point;

  void step();
  void wake_at(Time time);
  [[nodiscard]] Member* with_order() const;
  [[nodiscard]] std::shared_ptr<Member> choose(Time now) const;
  [[nodiscard]] bool may_try(const Member& dead, Time now, std::optional<Time> live_due) const;
  [[nodiscard]] std::optional<Time> live_due() const;
  [[nodiscard]] Time next_time(Time now) const;
  void begin(std::shared_ptr<Member> member, Time now);
  void ask();
  void on_answer(const tl::expected<Bytes, Fault>& pdu);
  [[nodiscard]] std::chrono::microseconds late_answer(bool came);
  void conclude();
  void carry_out(Member& member);
  void on_confirmed(const std::shared_ptr<Member>& member, const Write& write, const tl::expected<Bytes, Fault>& pdu);
  void rest(std::chrono::microseconds time);

  const PortSettings settings_;
  std::shared_ptr<Port> port_;
  boost::asio::steady_timer timer_;
  std::vector<std::shared_ptr<Member>> members_;
  std::shared_ptr<Member> polling_;  // whose poll is under way
  Time begun_{};                     // that poll
  Time asked_{};                     // the try under way
  Time ready_{};                     // when the wire may be used again
  Time dead_ready_{};                // when the dead may take time from the living again
  std::minstd_rand random_{std::random_device{}()};
  bool stopped_ = false;
};

/// A bus and what it runs on: a serial port has a thread of its own, because opening one and switching its lines can
/// block; sockets are the io thread's. Made and destroyed on the io thread. Destroying it ends the thread.
class BusHost {
 public:
  BusHost(boost::asio::io_context& io, const PortSettings& settings, const std::string& name);
  ~BusHost();
  BusHost(const BusHost&) = delete;
  BusHost& operator=(const BusHost&) = delete;

  template <class Call>
  void call(Call call) {
    boost::asio::post(io_, [weak = std::weak_ptr{bus_}, call = std::move(call)]() mutable {
      if (const auto bus = weak.lock()) call(*bus);
    });
  }

 private:
  std::unique_ptr<boost::asio::io_context> own_;
  boost::asio::io_context& io_;
  std::shared_ptr<Bus> bus_;
  std::thread thread_;
};

}  // namespace hamlet::drivers::modbus
