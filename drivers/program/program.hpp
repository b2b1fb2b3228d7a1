#pragma once

#include <string>
#include <vector>

#include "drivers/actor.hpp"

namespace hamlet::drivers::program {

/// Reads a [[device]] with driver = "program": outputs that are programs to run. Keys: drivers/program/README.md.
[[nodiscard]] Blueprint read(const config::Table& device, const std::string& id);

struct Command {
  std::vector<std::string> words;  ///< the program, by its whole path, and its arguments
  std::string input{};             ///< what it reads
  Millis deadline{};
};
/// Runs it and waits: no shell, nothing of our environment but PATH and LANG, no descriptors of ours. Where the time is
/// up or the job is halted it is killed, with all that it started. What it prints is read, and the last KiB kept.
/// Errors: denied and not_found (it cannot be run), timeout, failed (with its exit code and its last line).
[[nodiscard]] Status run(const Command& command, const Job& job);

}  // namespace hamlet::drivers::program
