#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include "drivers/driver.hpp"
#include "firmware/core/worker.hpp"

namespace hamlet::drivers {

/// Something that blocks, being done on an Actor's thread.
class Job {
 public:
  Job();
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  /// Told to end: by stop(), or by a newer value of the same output. From any thread.
  void halt();
  [[nodiscard]] bool halted() const { return halted_.load(); }
  [[nodiscard]] int descriptor() const { return event_; }  ///< readable once halted: for poll()
  /// Sleeps; false: halted meanwhile.
  [[nodiscard]] bool rest(Millis time) const;
  /// Waits until `fd` has one of poll()'s `events`; false: halted, or the time is up.
  [[nodiscard]] bool await(int fd, short events, Millis time) const;

  /// The output is what it should be; the job goes on. What it ends with is then no longer the answer.
  std::function<void()> confirm{};

 private:
  std::atomic<bool> halted_{false};
  int event_;
};

/// A device whose outputs do something that blocks: all on one thread of its own, one after the other.
///
/// At most kMostJobs wait; one more is refused (`full`). After each job the report hears whether it went well. stop()
/// halts the job under way, which must then end within a second.
class Actor final : public Device, public std::enable_shared_from_this<Actor> {
 public:
  static constexpr std::size_t kMostJobs = 16;

  /// What an output does; on the thread. Errors: their code becomes the `why` of the device's fault.
  using Act = std::function<Status(const Value& value, Job& job)>;
  struct Does {
    Act act;
    /// It plays, rather than does something once: a newer value halts it, one that it has already is nothing new, and
    /// false is done as soon as it is halted.
    bool plays = false;
  };
  /// Whether the device is there; what it has to say. On the thread.
  using Look = std::function<Result<std::vector<Reading>>(Job& job)>;

  Actor(std::string thread, std::map<std::string, Does> outputs, const Surroundings& around, Look look = {},
        Millis every = {});
  ~Actor() override;

  void start() override;
  void stop() override;
  Output* output(std::string_view id) override;

 private:
  class Handle final : public Output {
   public:
    Handle(Actor& actor, Does does) : actor_{actor}, does_{std::move(does)} {}
    void set(const Value& value, std::function<void(Status)> done) override;

   private:
    friend class Actor;
    Actor& actor_;
    Does does_;
    std::optional<Value> last_{};  // of what plays: what it does, or is about to
    std::shared_ptr<Job> playing_{};
  };

  void answer(std::function<void(Status)> done, Status status);
  void run(Handle& handle, const Value& value, std::function<void(Status)> done);
  void look();
  void on_look(const Result<std::vector<Reading>>& seen);
  void tell(const Status& status);
  [[nodiscard]] std::shared_ptr<Job> new_job();

  boost::asio::io_context& io_;
  Report& report_;
  const Look look_;
  const Millis every_;
  boost::asio::steady_timer timer_;
  std::map<std::string, Handle, std::less<>> outputs_;
  std::vector<std::weak_ptr<Job>> jobs_;
  bool stopped_ = false;
  Worker worker_;  // last: it ends before what it uses
};

/// Reads the keys that the outputs of every driver have: id, name. `own` reads the driver's own and says what it takes.
[[nodiscard]] std::vector<OutputInfo> read_outputs(
    const config::Table& device, const std::string& id,
    const std::function<void(const config::Table& output, OutputInfo& info)>& own);

}  // namespace hamlet::drivers
