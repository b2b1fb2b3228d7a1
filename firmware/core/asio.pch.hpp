// Precompiled for the rooms that wait for something: core's own, and Asio's single headers.
#pragma once

#include <utility> // Asio 1.74 takes std::exchange for granted

#include <array>
#include <deque>
#include <filesystem>
#include <mutex>
#include <set>
#include <thread>

#include <boost/asio/buffer.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include "firmware/core/core.pch.hpp"
