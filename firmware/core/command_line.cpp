#include "firmware/core/command_line.hpp"

#include <utility>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

namespace hamlet {

struct CommandLine::Impl {
  explicit Impl(std::string description) : app{std::move(description)} {}
  CLI::App app;
};

CommandLine::CommandLine(std::string description, std::string version)
    : impl_{std::make_unique<Impl>(std::move(description))} {
  if (!version.empty()) impl_->app.set_version_flag("--version", version);
}

CommandLine::~CommandLine() = default;

void CommandLine::flag(const std::string& name, bool& into, const std::string& help) {
  impl_->app.add_flag(name, into, help);
}

void CommandLine::text(const std::string& name, std::string& into, const std::string& help, Given given) {
  impl_->app.add_option(name, into, help)->required(given == Given::always);
}

void CommandLine::texts(const std::string& name, std::vector<std::string>& into, const std::string& help) {
  impl_->app.add_option(name, into, help);
}

void CommandLine::path(const std::string& name, std::filesystem::path& into, const std::string& help, Given given,
                       Names names) {
  auto* option = impl_->app.add_option_function<std::string>(
      name, [&into](const std::string& value) { into = value; }, help);
  option->required(given == Given::always)->default_str(into.string());
  if (names == Names::file) option->check(CLI::ExistingFile);
  if (names == Names::folder) option->check(CLI::ExistingDirectory);
}

void CommandLine::number(const std::string& name, int& into, const std::string& help, int least, int most) {
  impl_->app.add_option(name, into, help)->check(CLI::Range(least, most))->capture_default_str();
}

void CommandLine::number(const std::string& name, double& into, const std::string& help) {
  impl_->app.add_option(name, into, help)->capture_default_str();
}

std::optional<int> CommandLine::parse(int argc, const char* const* argv) {
  try {
    impl_->app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return impl_->app.exit(error) == 0 ? 0 : 2;
  }
  return {};
}

}  // namespace hamlet
