#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "firmware/control/protocol.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::control {

enum class Access { read, change };

/// Who asks. The socket fills it from the peer's credentials, the uplink from the box's own config.
struct Caller {
  enum class Origin { local, county };
  Origin origin = Origin::local;
  std::string name;  ///< for logs and events: "li (uid 1000)", "county"
  bool may_read = false;
  bool may_change = false;

  /// The county: reads and changes, but only the verbs that are open to it.
  [[nodiscard]] static Caller county() { return {Origin::county, "county", true, true}; }
};

/// Carries the answer away. Call it once, on the io thread; what comes later is dropped. It outlives table and server
/// safely.
using Reply = std::function<void(Answer)>;

/// Something that can be asked of the daemon.
struct Verb {
  using Handler = std::function<void(const nlohmann::json& args, const Caller& caller, Reply reply)>;

  std::string name;  ///< "readings", "alarm.ack"
  Access access = Access::read;
  bool county = false;  ///< whether the county may give it (the box's own config decides)
  std::string args;     ///< what it takes, for the reader of `help`: "point, since_ms?, limit?"
  Handler handler;      ///< runs on the io thread; must not block; replies now or later
  std::optional<Millis> deadline{};  ///< of one that takes longer than the table's
};

/// The one table of verbs, shared by the local socket and the county's commands. Every member is called from the io
/// thread.
class VerbTable {
 public:
  static constexpr Millis kDeadline{10'000};

  /// A handler that has not replied within `deadline` is answered for, with timeout.
  explicit VerbTable(boost::asio::io_context& io, Millis deadline = kDeadline);

  /// Each name once.
  void add(Verb verb);
  [[nodiscard]] const Verb* find(std::string_view name) const;
  /// The known verb that is nearest to a misspelt one.
  [[nodiscard]] std::optional<std::string> nearest(std::string_view name) const;
  /// Sorted by name.
  [[nodiscard]] std::vector<const Verb*> all() const;

  /// Checks that the verb exists and that the caller may give it, then runs it. `reply` is called exactly once, on the
  /// io thread, possibly before run() returns. An exception of the JSON library out of a handler is answered as invalid
  /// args.
  void run(const Caller& caller, std::string_view verb, const nlohmann::json& args, Reply reply) const;

 private:
  [[nodiscard]] std::optional<Failure> refusal(const Caller& caller, std::string_view name, const Verb* verb) const;

  boost::asio::io_context& io_;
  Millis deadline_;
  std::map<std::string, Verb, std::less<>> verbs_;
};

}  // namespace hamlet::control
