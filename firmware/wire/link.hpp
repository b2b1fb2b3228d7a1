#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/io_context.hpp>

#include "firmware/core/result.hpp"
#include "firmware/core/text.hpp"
#include "firmware/core/time.hpp"
#include "firmware/core/worker.hpp"
#include "firmware/wire/broker.hpp"

namespace hamlet::wire {

/// Why there is no link, in words for a technician. `message` is the English text.
struct LinkError : Error {
  /// `fault`: one word for --json, never translated: "bad-login", "cert-expired", …
  LinkError(Errc errc, std::string fault_word, Text words) : Error{errc, words.en}, fault{std::move(fault_word)}, text{std::move(words)} {}
  std::string fault;
  Text text;
};

/// Certificates, PEM files read at each connect. Empty: the system's authorities; no certificate of our own.
struct TlsFiles {
  std::filesystem::path ca;
  std::filesystem::path cert;
  std::filesystem::path key;
};

/// What is found on the way to a broker, as far as one gets without logging in.
struct LinkReport {
  std::optional<LinkError> trouble;
  std::optional<Millis> connect_took;
  std::optional<Millis> tls_took;
  std::optional<WallTime> expires;      ///< the broker's certificate
  std::optional<WallTime> own_expires;  ///< ours
};
/// Connects to a numeric address, shakes hands by TLS where the broker is so, and looks whether a web server answers (a captive
/// portal), by TLS where the certificate is wrong or there is no handshake. Blocks, at most `deadline`, or until `cancelled`.
[[nodiscard]] LinkReport check_link(const std::string& address, const BrokerAddress& broker, const TlsFiles& tls, Millis deadline,
                                    const std::atomic<bool>& cancelled);

/// check_link() in a thread of its own, `mqtt-check`, one at a time. Called from the io thread.
class LinkChecker {
 public:
  explicit LinkChecker(boost::asio::io_context& io);
  ~LinkChecker();  ///< nothing is called back any more; waits a tenth of a second at most
  /// `then` on the io thread. False: one is under way.
  bool check(std::string address, BrokerAddress broker, TlsFiles tls, Millis deadline, std::function<void(LinkReport)> then);

 private:
  boost::asio::io_context& io_;
  std::shared_ptr<bool> here_ = std::make_shared<bool>(true);  // of the io thread
  bool busy_ = false;
  std::atomic<bool> cancelled_ = false;
  Worker worker_{"mqtt-check", 1};
};

}  // namespace hamlet::wire
