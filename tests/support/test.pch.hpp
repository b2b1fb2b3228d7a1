// Precompiled for every test.
#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>

#define DOCTEST_CONFIG_SUPER_FAST_ASSERTS // a call, not a block of code, for each assertion
#include <doctest/doctest.h>

#include "firmware/core/asio.pch.hpp"
