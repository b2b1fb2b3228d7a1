#include "tests/support/proxy.hpp"

#include <array>
#include <atomic>
#include <charconv>
#include <deque>
#include <functional>
#include <future>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>

namespace hamlet::support {

namespace asio = boost::asio;
using asio::ip::tcp;
using SteadyTime = std::chrono::steady_clock::time_point;

namespace {

constexpr std::size_t kChunk = 1'400;         // what a packet carries: rate and cuts act on packets
constexpr std::size_t kMaxHeld = 256 * 1024;  // bytes held back a direction, as a modem does; beyond it TCP waits

enum class Mode { open, cut, stall, half_open };

/// What the whole link has in common. Only the proxy's thread touches it.
struct Link {
  Mode mode = Mode::open;
  std::uint64_t bits_per_second = 0;
  Millis delay{0};
  std::array<SteadyTime, 2> free_at{};  // when each direction has sent what it took
  struct Counters {
    std::atomic<std::uint64_t> connections{0}, open{0}, swallowed{0};
    std::array<std::atomic<std::uint64_t>, 2> bytes{};
  } counters;
};

/// One direction of one connection: reads, holds back for as long as the link takes, writes.
class Pipe : public std::enable_shared_from_this<Pipe> {
 public:
  enum class End { orderly, broken };
  /// `ended` is called at most once, when nothing more will be forwarded.
  Pipe(asio::io_context& io, Link& link, std::size_t direction, std::shared_ptr<tcp::socket> from,
       std::shared_ptr<tcp::socket> to, std::function<void(End)> ended)
      : link_{link},
        direction_{direction},
        from_{std::move(from)},
        to_{std::move(to)},
        on_end_{std::move(ended)},
        timer_{io} {}

  void start() { read(); }
  /// The link's mode has changed.
  void look_again() { forward(); }
  void swallow_for_ever() { swallowing_ = true; }
  void close() {
    closed_ = true;
    timer_.cancel();
    on_end_ = nullptr;
  }

 private:
  struct Held {
    std::vector<char> bytes;
    SteadyTime due;
  };

  void read() {
    if (closed_ || reading_ || held_bytes_ > kMaxHeld) return;
    reading_ = true;
    from_->async_read_some(asio::buffer(chunk_), [self = shared_from_this()](auto error, std::size_t size) {
      self->reading_ = false;
      self->took(error, size);
    });
  }

  void took(const boost::system::error_code& error, std::size_t size) {
    if (closed_) return;
    if (swallowing_) {
      link_.counters.swallowed += size;
      if (!error) read();  // not even the end of the connection is passed on
      return;
    }
    if (error) {
      if (error != asio::error::eof) return end(End::broken);
      ended_ = true;
      return forward();
    }
    const auto now = std::chrono::steady_clock::now();
    auto& free_at = link_.free_at.at(direction_);
    free_at = std::max(free_at, now);
    if (link_.bits_per_second > 0) {
      free_at += std::chrono::nanoseconds{size * 8 * 1'000'000'000ULL / link_.bits_per_second};
    }
    held_.push_back({{chunk_.begin(), chunk_.begin() + static_cast<std::ptrdiff_t>(size)}, free_at + link_.delay});
    held_bytes_ += size;
    forward();
    read();
  }

  void forward() {
    if (closed_ || writing_ || link_.mode == Mode::stall) return;
    if (swallowing_) {
      for (const auto& held : held_) link_.counters.swallowed += held.bytes.size();
      held_.clear();
      held_bytes_ = 0;
      return;
    }
    if (held_.empty()) {
      if (ended_) {
        boost::system::error_code ignored;
        to_->shutdown(tcp::socket::shutdown_send, ignored);
        end(End::orderly);
      }
      return;
    }
    if (held_.front().due > std::chrono::steady_clock::now()) {
      timer_.expires_at(held_.front().due);
      timer_.async_wait([self = shared_from_this()](auto error) {
        if (!error) self->forward();
      });
      return;
    }
    writing_ = true;
    outgoing_ = std::move(held_.front().bytes);
    held_.pop_front();
    held_bytes_ -= outgoing_.size();
    asio::async_write(*to_, asio::buffer(outgoing_), [self = shared_from_this()](auto error, std::size_t size) {
      self->writing_ = false;
      self->link_.counters.bytes.at(self->direction_) += size;
      if (self->closed_) return;
      if (error) return self->end(End::broken);
      self->forward();
      self->read();
    });
  }

  void end(End how) {
    if (const auto on_end = std::exchange(on_end_, nullptr)) on_end(how);
  }

  Link& link_;
  const std::size_t direction_;
  const std::shared_ptr<tcp::socket> from_;
  const std::shared_ptr<tcp::socket> to_;
  std::function<void(End)> on_end_;
  asio::steady_timer timer_;
  std::array<char, kChunk> chunk_{};
  std::deque<Held> held_;
  std::size_t held_bytes_ = 0;
  std::vector<char> outgoing_;
  bool reading_ = false;
  bool writing_ = false;
  bool ended_ = false;
  bool swallowing_ = false;
  bool closed_ = false;
};

struct Connection {
  std::shared_ptr<tcp::socket> client;
  std::shared_ptr<tcp::socket> target;
  std::array<std::shared_ptr<Pipe>, 2> pipes{};  // up, down
  int ended = 0;                                 // of the two

  void reset() {
    for (const auto& pipe : pipes) {
      if (pipe) pipe->close();
    }
    boost::system::error_code ignored;
    for (const auto& socket : {client, target}) {
      socket->set_option(asio::socket_base::linger{true, 0}, ignored);  // RST, as a link that breaks hard
      socket->close(ignored);
    }
  }
};

// ---- the script ----

struct Step {
  Millis at{0};
  Millis every{0};  // 0: once
  Millis lasting{0};
  std::string word;
  std::string argument;
};

Result<std::uint64_t> parse_rate(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit{end, static_cast<std::size_t>(text.data() + text.size() - end)};
  if (error == std::errc{}) {
    if (unit.empty() || unit == "bit") return number;
    if (unit == "kbit") return number * 1'000;
    if (unit == "mbit") return number * 1'000'000;
  }
  return fail(Errc::invalid, fmt::format("rate \"{}\": expected a number and bit, kbit or mbit", text));
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto end = std::min(text.find(separator), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

Result<Step> parse_step(const std::string& text) {
  auto words = split(text, ' ');
  Step step;
  std::size_t next = 0;
  const auto duration = [&](Millis& into) -> Status {
    if (next + 1 >= words.size())
      return fail(Errc::invalid, fmt::format("\"{}\": a time and a word are missing", text));
    auto parsed = parse_duration(words[next + 1]);
    if (!parsed) return fail(std::move(parsed).error());
    into = *parsed;
    next += 2;
    return {};
  };
  for (; next < words.size();) {
    Status taken;
    if (words[next] == "at") {
      taken = duration(step.at);
    } else if (words[next] == "every") {
      taken = duration(step.every);
    } else if (words[next] == "for") {
      taken = duration(step.lasting);
    } else {
      break;
    }
    if (!taken) return fail(std::move(taken).error());
  }
  if (next >= words.size()) return fail(Errc::invalid, fmt::format("\"{}\": expected a word after the times", text));
  step.word = words[next++];
  if (next < words.size()) step.argument = words[next++];
  const bool takes_argument = step.word == "rate" || step.word == "delay";
  const bool known =
      takes_argument || step.word == "cut" || step.word == "open" || step.word == "stall" || step.word == "halfopen";
  if (!known || next < words.size() || takes_argument == step.argument.empty()) {
    return fail(Errc::invalid,
                fmt::format("\"{}\": expected cut, open, stall, halfopen, rate NUMBERkbit or delay TIME", text));
  }
  if (step.word == "rate") {
    if (auto rate = parse_rate(step.argument); !rate) return fail(std::move(rate).error());
  } else if (step.word == "delay") {
    if (auto delay = parse_duration(step.argument); !delay) return fail(std::move(delay).error());
  }
  if (step.every > Millis{0} && step.lasting >= step.every) {
    return fail(Errc::invalid, fmt::format("\"{}\": lasts longer than its period", text));
  }
  return step;
}

}  // namespace

struct Proxy::Impl {
  explicit Impl(std::uint16_t the_target)
      : target{asio::ip::address_v4::loopback(), the_target},
        acceptor{io, {asio::ip::address_v4::loopback(), 0}},
        port{acceptor.local_endpoint().port()} {
    accept();
    thread = std::thread{[this] { io.run(); }};
  }

  ~Impl() {
    io.stop();
    thread.join();
  }

  /// Runs on the proxy's thread; returns when it has been done.
  template <class Work>
  void on_thread(Work work) {
    std::promise<void> done;
    asio::post(io, [&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }

  void accept() {
    acceptor.async_accept([this](auto error, tcp::socket socket) {
      if (error) return;
      took(std::make_shared<tcp::socket>(std::move(socket)));
      accept();
    });
  }

  void took(std::shared_ptr<tcp::socket> client) {
    ++link.counters.connections;
    auto connection = std::make_shared<Connection>();
    connection->client = std::move(client);
    connection->target = std::make_shared<tcp::socket>(io);
    if (link.mode == Mode::cut) return connection->reset();
    boost::system::error_code ignored;
    connection->client->set_option(tcp::no_delay{true}, ignored);
    connection->target->async_connect(target, [this, connection](auto error) {
      if (error || link.mode == Mode::cut) return connection->reset();
      boost::system::error_code none;
      connection->target->set_option(tcp::no_delay{true}, none);
      const auto on_end = [this, weak = std::weak_ptr{connection}](Pipe::End how) {
        const auto self = weak.lock();
        if (!self || (++self->ended < 2 && how == Pipe::End::orderly)) return;
        self->reset();
        connections.erase(self);
        link.counters.open = connections.size();
      };
      connection->pipes = {std::make_shared<Pipe>(io, link, 0, connection->client, connection->target, on_end),
                           std::make_shared<Pipe>(io, link, 1, connection->target, connection->client, on_end)};
      for (const auto& pipe : connection->pipes) {
        if (link.mode == Mode::half_open) pipe->swallow_for_ever();
        pipe->start();
      }
      connections.insert(connection);
      link.counters.open = connections.size();
    });
  }

  void set_mode(Mode mode) {
    link.mode = mode;
    if (mode == Mode::cut) {
      for (const auto& connection : connections) connection->reset();
      connections.clear();
      link.counters.open = 0;
    }
    for (const auto& connection : connections) {
      for (const auto& pipe : connection->pipes) {
        if (mode == Mode::half_open) pipe->swallow_for_ever();
        pipe->look_again();
      }
    }
  }

  void apply(const Step& step) {
    if (step.word == "cut") set_mode(Mode::cut);
    if (step.word == "open") set_mode(Mode::open);
    if (step.word == "stall") set_mode(Mode::stall);
    if (step.word == "halfopen") set_mode(Mode::half_open);
    if (step.word == "rate") link.bits_per_second = parse_rate(step.argument).value_or(0);
    if (step.word == "delay") link.delay = parse_duration(step.argument).value_or(Millis{0});
  }

  void schedule(const Step& step, SteadyTime when) {
    auto timer = std::make_shared<asio::steady_timer>(io, when);
    timers.push_back(timer);
    timer->async_wait([this, step, when, timer](auto error) {
      if (error) return;
      apply(step);
      if (step.lasting > Millis{0}) schedule({{}, {}, {}, "open", {}}, when + step.lasting);
      if (step.every > Millis{0}) schedule(step, when + step.every);
      std::erase(timers, timer);
    });
  }

  asio::io_context io{1};
  const tcp::endpoint target;
  tcp::acceptor acceptor;
  const std::uint16_t port;
  Link link;
  std::set<std::shared_ptr<Connection>> connections;
  std::vector<std::shared_ptr<asio::steady_timer>> timers;  // of the script that runs
  std::thread thread;
};

Proxy::Proxy(std::uint16_t target_port) : impl_{std::make_unique<Impl>(target_port)} {}
Proxy::~Proxy() = default;

std::uint16_t Proxy::port() const {
  return impl_->port;
}
std::string Proxy::uri() const {
  return fmt::format("mqtt://127.0.0.1:{}", port());
}

void Proxy::open() {
  impl_->on_thread([this] { impl_->set_mode(Mode::open); });
}
void Proxy::cut() {
  impl_->on_thread([this] { impl_->set_mode(Mode::cut); });
}
void Proxy::stall() {
  impl_->on_thread([this] { impl_->set_mode(Mode::stall); });
}
void Proxy::half_open() {
  impl_->on_thread([this] { impl_->set_mode(Mode::half_open); });
}
void Proxy::rate(std::uint64_t bits_per_second) {
  impl_->on_thread([this, bits_per_second] { impl_->link.bits_per_second = bits_per_second; });
}
void Proxy::delay(Millis one_way) {
  impl_->on_thread([this, one_way] { impl_->link.delay = one_way; });
}

Status Proxy::run(std::string_view script) {
  std::vector<Step> steps;
  for (const auto& text : split(script, ';')) {
    if (text.find_first_not_of(' ') == std::string::npos) continue;
    auto step = parse_step(text);
    if (!step) return fail(std::move(step).error());
    steps.push_back(std::move(*step));
  }
  impl_->on_thread([this, &steps] {
    for (const auto& timer : impl_->timers) timer->cancel();
    impl_->timers.clear();
    const auto now = std::chrono::steady_clock::now();
    for (const auto& step : steps) {
      const bool at_once = step.at == Millis{0} && step.every == Millis{0} && step.lasting == Millis{0};
      if (at_once) {
        impl_->apply(step);
      } else {
        impl_->schedule(step, now + (step.at > Millis{0} ? step.at : step.every));
      }
    }
  });
  return {};
}

Proxy::Counts Proxy::counts() const {
  const auto& counters = impl_->link.counters;
  return {counters.connections, counters.open, counters.bytes[0], counters.bytes[1], counters.swallowed};
}

}  // namespace hamlet::support
