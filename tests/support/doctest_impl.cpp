// doctest itself, once. What is compiled with the tests' precompiled header needs it, also where it is no test.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
