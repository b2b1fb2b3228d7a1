#include "firmware/wire/resolver.hpp"

#include "firmware/wire/pinned_name.hpp"

#include <algorithm>
#include <mutex>
#include <system_error>
#include <utility>

#include <arpa/inet.h>
#include <boost/asio/post.hpp>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <resolv.h>

namespace hamlet::wire {

struct Resolver::State {
  LookUp look_up;
  std::mutex mutex;
  boost::asio::io_context* io = nullptr;  // guarded by mutex; null once the Resolver is gone
  bool busy = false;                      // guarded by mutex
  Then then;                              // guarded by mutex; empty: nobody waits any more
};

Resolver::Resolver(boost::asio::io_context& io, LookUp look_up) : state_{std::make_shared<State>()} {
  state_->io = &io;
  state_->look_up = std::move(look_up);
}

Resolver::~Resolver() {
  bool busy = false;
  {
    const std::lock_guard lock{state_->mutex};
    state_->io = nullptr;
    state_->then = nullptr;
    busy = state_->busy;
  }
  if (!thread_.joinable()) return;
  if (busy) {
    thread_.detach();  // it hangs in the C library and cannot be called back; it touches its own state only
  } else {
    thread_.join();
  }
}

Status Resolver::resolve(std::string host, Then then) {
  {
    const std::lock_guard lock{state_->mutex};
    if (state_->busy) return fail(Errc::unavailable, "the name look-up before still hangs");
    state_->busy = true;
    state_->then = std::move(then);
  }
  if (thread_.joinable()) thread_.join();  // has nothing left to do
  try {
    thread_ = std::thread{[state = state_, host = std::move(host)] {
      pthread_setname_np(pthread_self(), "mqtt-resolve");
      auto found = state->look_up(host);
      const std::lock_guard lock{state->mutex};
      state->busy = false;
      if (!state->io || !state->then) return;
      boost::asio::post(*state->io, [state, found = std::move(found)]() mutable {
        Then waiting;
        {
          const std::lock_guard again{state->mutex};
          waiting = std::exchange(state->then, nullptr);
        }
        if (waiting) waiting(std::move(found));
      });
    }};
  } catch (const std::system_error& error) {
    const std::lock_guard lock{state_->mutex};
    state_->busy = false;
    state_->then = nullptr;
    return fail(Errc::failed, std::string{"start a thread for the name look-up: "} + error.what());
  }
  return {};
}

void Resolver::cancel() {
  const std::lock_guard lock{state_->mutex};
  state_->then = nullptr;
}

Result<Resolver::Addresses> look_up_by_libc(const std::string& host) {
  if (res_init() == 0) {  // of this thread alone
    _res.retrans = 2;
    _res.retry = 1;
  }
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  if (const int rc = getaddrinfo_of_libc(host.c_str(), nullptr, &hints, &list); rc != 0) {
    return fail(Errc::unavailable, "look up \"" + host + "\": " + gai_strerror(rc));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned{list, &freeaddrinfo};
  Resolver::Addresses addresses;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    char text[NI_MAXHOST] = {};
    if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) continue;
    if (std::find(addresses.begin(), addresses.end(), text) == addresses.end()) addresses.emplace_back(text);
  }
  if (addresses.empty()) return fail(Errc::unavailable, "look up \"" + host + "\": it has no address");
  return addresses;
}

}  // namespace hamlet::wire
