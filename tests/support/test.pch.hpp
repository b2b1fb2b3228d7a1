// Precompiled for every test.
#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>

#define DOCTEST_CONFIG_NO_TRY_CATCH_IN_ASSERTS // what is thrown ends its test case, as it should
#define DOCTEST_CONFIG_SUPER_FAST_ASSERTS // a call, not a block of code, for each assertion
#include <doctest/doctest.h>

#include "firmware/core/asio.pch.hpp"
