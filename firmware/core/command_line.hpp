#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace hamlet {

/// The options of a program that has no verbs: CLI11, which is long to compile, compiled once. Values that are not given stay as
/// they are. `--help` and, where a version is told, `--version` come by themselves. What is given by reference must live until
/// parse() has returned. One thread.
class CommandLine {
 public:
  enum class Given { maybe, always };             ///< always: it is wrong usage to leave it out
  enum class Names { anything, file, folder };    ///< file, folder: one that is there

  explicit CommandLine(std::string description, std::string version = {});
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  /// `name`: "--config", or "FILE" for one that stands by itself. The help shows the value that is there.
  void flag(const std::string& name, bool& into, const std::string& help);
  void text(const std::string& name, std::string& into, const std::string& help, Given given = Given::maybe);
  void texts(const std::string& name, std::vector<std::string>& into, const std::string& help);
  void path(const std::string& name, std::filesystem::path& into, const std::string& help, Given given = Given::maybe,
            Names names = Names::anything);
  void number(const std::string& name, int& into, const std::string& help, int least, int most);
  void number(const std::string& name, double& into, const std::string& help);

  /// Nothing where the program goes on; else what it ends with: 0 after help or version, 2 where the usage is wrong, which is
  /// said on stderr.
  [[nodiscard]] std::optional<int> parse(int argc, const char* const* argv);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hamlet
