#pragma once

#include <filesystem>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/require.hpp>

#include "firmware/control/server.hpp"

namespace hamlet::support {

/// The daemon's end of the socket, on an io thread of its own.
class DaemonInTest {
 public:
  DaemonInTest() = default;
  ~DaemonInTest() {
    on_io([this] { server_.reset(); });
    io_.stop();  // a verb may be waiting for its deadline still
    if (thread_.joinable()) thread_.join();
  }
  DaemonInTest(const DaemonInTest&) = delete;
  DaemonInTest& operator=(const DaemonInTest&) = delete;

  /// Add verbs before start().
  control::VerbTable& table() { return table_; }
  boost::asio::io_context& io() { return io_; }

  Status start(const std::filesystem::path& path, control::ServerOptions options = {}) {
    server_ = std::make_unique<control::Server>(io_, path, table_, std::move(options));
    auto started = server_->start();
    if (!thread_.joinable()) thread_ = std::thread{[this] { io_.run(); }};
    return started;
  }
  void stop() {
    on_io([this] { server_->stop(); });
  }
  std::size_t connections() {
    std::size_t count = 0;
    on_io([&] { count = server_->connections(); });
    return count;
  }

 private:
  // Runs it on the io thread and waits for it.
  template <class Do>
  void on_io(Do what) {
    if (!thread_.joinable()) return what();
    std::promise<void> done;
    boost::asio::post(io_, [&] {
      what();
      done.set_value();
    });
    done.get_future().wait();
  }

  boost::asio::io_context io_;
  // Keeps run() going while there is nothing to do.
  boost::asio::any_io_executor busy_{
      boost::asio::require(io_.get_executor(), boost::asio::execution::outstanding_work.tracked)};
  control::VerbTable table_{io_};
  std::unique_ptr<control::Server> server_;
  std::thread thread_;
};

}  // namespace hamlet::support
