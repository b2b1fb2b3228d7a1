#include "firmware/wire/resolver.hpp"

#include <chrono>
#include <future>
#include <memory>
#include <optional>

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

using hamlet::Errc;
using hamlet::Result;
using hamlet::wire::Resolver;

namespace {

constexpr std::chrono::seconds kPatience{20};

template <class Done>
bool run_until(boost::asio::io_context& io, Done done) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!done() && std::chrono::steady_clock::now() < until) {
    io.restart();
    io.run_one_for(std::chrono::milliseconds{10});
  }
  return done();
}

/// A look-up that hangs until it is let go.
struct Hanging {
  std::shared_ptr<std::promise<void>> release = std::make_shared<std::promise<void>>();
  std::shared_future<void> released = release->get_future().share();
  Resolver::LookUp look_up() const {
    return [released = released](const std::string&) -> Result<Resolver::Addresses> {
      released.wait();
      return Resolver::Addresses{"192.0.2.1"};
    };
  }
};

}  // namespace

TEST_CASE("an answer arrives on the io thread") {
  boost::asio::io_context io;
  Resolver resolver{
      io, [](const std::string& host) -> Result<Resolver::Addresses> { return Resolver::Addresses{host + "!"}; }};
  for (const char* name : {"first", "second"}) {
    std::optional<Result<Resolver::Addresses>> answer;
    REQUIRE(resolver.resolve(name, [&](auto found) { answer = std::move(found); }));
    REQUIRE(run_until(io, [&] { return answer.has_value(); }));
    CHECK(answer->value().front() == std::string{name} + "!");
  }
}

TEST_CASE("a look-up that hangs holds up neither the next one nor the end") {
  const Hanging hanging;
  boost::asio::io_context io;
  bool answered = false;
  {
    Resolver resolver{io, hanging.look_up()};
    REQUIRE(resolver.resolve("slow", [&](auto) { answered = true; }));
    resolver.cancel();
    const auto next = resolver.resolve("next", [&](auto) { answered = true; });
    REQUIRE_FALSE(next);
    CHECK(next.error().code == Errc::unavailable);

    SUBCASE("what comes after cancel() is nobody's") {
      hanging.release->set_value();
      while (!resolver.resolve("again", [&](auto) { answered = true; })) {
        io.poll();
      }
      REQUIRE(run_until(io, [&] { return answered; }));
      answered = false;
    }
    SUBCASE("the resolver goes while it hangs") {}
  }
  CHECK_FALSE(answered);
  try {
    hanging.release->set_value();
  } catch (const std::future_error&) {  // it was, above
  }
}

TEST_CASE("the C library knows localhost, and says what it does not know") {
  const auto local = hamlet::wire::look_up_by_libc("localhost");
  REQUIRE(local);
  CHECK_FALSE(local->empty());
  const auto unknown = hamlet::wire::look_up_by_libc("no such name");
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().message.find("no such name") != std::string::npos);
}
