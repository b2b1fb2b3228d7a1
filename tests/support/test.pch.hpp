// Precompiled for every test.
#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>

#include <doctest/doctest.h>

#include "firmware/core/asio.pch.hpp"
