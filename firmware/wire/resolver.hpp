#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "firmware/core/result.hpp"

namespace hamlet::wire {

/// Looks names up without ever blocking its caller, one at a time. Every member is called from the io thread.
///
/// A look-up cannot be cancelled: the C library's may hang for half a minute. Each runs in a thread of its own that
/// holds nothing but its own state, so that one which hangs holds up neither the next try's deadline nor the end of the
/// program.
class Resolver {
 public:
  using Addresses = std::vector<std::string>;  ///< numeric
  using LookUp = std::function<Result<Addresses>(const std::string& host)>;
  using Then = std::function<void(Result<Addresses>)>;

  Resolver(boost::asio::io_context& io, LookUp look_up);
  ~Resolver();  ///< cancel(); does not wait for a look-up that hangs
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// `then` runs on the io thread, unless cancelled before. Error unavailable: the one before still hangs. The caller
  /// keeps the deadline, and cancels.
  [[nodiscard]] Status resolve(std::string host, Then then);
  void cancel();

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::thread thread_;
};

/// The C library's look-up, with the DNS waits cut to 2 s a try.
[[nodiscard]] Result<Resolver::Addresses> look_up_by_libc(const std::string& host);

}  // namespace hamlet::wire
