#include "firmware/core/worker.hpp"

#include <future>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <pthread.h>

using namespace hamlet;
using Drain = Worker::Drain;

namespace {

// Holds the worker's thread until it is told to go on.
struct Gate {
  std::promise<void> entered;
  std::promise<void> open;
  Worker::Job job() {
    return [this] {
      entered.set_value();
      open.get_future().wait();
    };
  }
};

}  // namespace

TEST_CASE("jobs run in order, on a thread that carries the worker's name") {
  std::vector<int> order;
  std::string name(16, '\0');
  const auto here = std::this_thread::get_id();
  std::thread::id there;
  Worker worker{"journal-write-too-long", 100};
  for (int i = 0; i < 50; ++i) REQUIRE(worker.post([&order, i] { order.push_back(i); }));
  REQUIRE(worker.post([&] {
    there = std::this_thread::get_id();
    pthread_getname_np(pthread_self(), name.data(), name.size());
  }));
  worker.stop(Drain::yes);
  REQUIRE(order.size() == 50);
  for (int i = 0; i < 50; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
  CHECK(there != here);
  CHECK(std::string{name.c_str()} == "journal-write-t");
}

TEST_CASE("a full queue refuses, and takes again once there is room") {
  Gate gate;
  Worker worker{"test", 2};
  REQUIRE(worker.post(gate.job()));
  gate.entered.get_future().wait();
  CHECK(worker.waiting() == 0);
  CHECK(worker.post([] {}));
  CHECK(worker.post([] {}));
  CHECK(worker.waiting() == 2);
  CHECK(!worker.post([] {}));
  gate.open.set_value();
  std::promise<void> ran;
  while (!worker.post([&] { ran.set_value(); })) std::this_thread::yield();
  ran.get_future().wait();
}

TEST_CASE("stop can run what waits first; then nothing is taken any more") {
  Gate gate;
  int ran = 0;
  Worker worker{"test", 10};
  REQUIRE(worker.post(gate.job()));
  gate.entered.get_future().wait();
  for (int i = 0; i < 3; ++i) REQUIRE(worker.post([&ran] { ++ran; }));
  gate.open.set_value();
  worker.stop(Drain::yes);
  CHECK(ran == 3);
  CHECK(worker.waiting() == 0);
  CHECK(!worker.post([] {}));
  worker.stop(Drain::yes);  // idempotent
  worker.stop(Drain::no);
}

TEST_CASE("stop can drop what waits: destroyed, not run") {
  Gate gate;
  bool ran = false;
  std::promise<void> dropped;
  struct Flag {
    std::promise<void>* gone;
    ~Flag() { gone->set_value(); }
  };
  Worker worker{"test", 10};
  REQUIRE(worker.post(gate.job()));
  gate.entered.get_future().wait();
  REQUIRE(worker.post([&ran, flag = std::shared_ptr<Flag>(new Flag{&dropped})] { ran = true; }));
  std::thread stopper{[&] { worker.stop(Drain::no); }};
  while (worker.waiting() > 0) std::this_thread::yield();  // taken out of the queue before the running job ends
  gate.open.set_value();
  stopper.join();
  dropped.get_future().wait();
  CHECK(!ran);
}

TEST_CASE("a job may post to its own worker") {
  std::promise<int> done;
  Worker worker{"test", 2};
  REQUIRE(worker.post([&] {
    if (!worker.post([&] { done.set_value(7); })) done.set_value(0);
  }));
  CHECK(done.get_future().get() == 7);
}

TEST_CASE("jobs from many threads all run") {
  int ran = 0;
  Worker worker{"test", 4};
  std::vector<std::thread> posters;
  for (int t = 0; t < 4; ++t) {
    posters.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        while (!worker.post([&ran] { ++ran; })) std::this_thread::yield();
      }
    });
  }
  for (auto& poster : posters) poster.join();
  worker.stop(Drain::yes);
  CHECK(ran == 800);
}
