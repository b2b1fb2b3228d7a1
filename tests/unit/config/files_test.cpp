#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/config/errors.hpp"

using namespace hamlet;
using namespace hamlet::config;
namespace fs = std::filesystem;

namespace {

/// A directory with config files; gone at the end.
class Folder {
 public:
  Folder() {
    auto name = (fs::temp_directory_path() / "hamlet-config-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  fs::path write(const fs::path& name, std::string_view text, mode_t mode = 0600) const {
    const auto file = path_ / name;
    fs::create_directories(file.parent_path());
    std::ofstream{file, std::ios::binary} << text;
    REQUIRE(chmod(file.c_str(), mode) == 0);
    return file;
  }
  [[nodiscard]] fs::path path() const { return path_; }
  /// An error as it is shown, with the folder in front.
  [[nodiscard]] std::string in(std::string_view error) const { return (path_ / error).string(); }

 private:
  fs::path path_;
};

std::string reveal(std::string_view text, std::string* error) {
  auto document = Document::parse(text, "t.toml");
  const auto secret = document.root().secret_or("password");
  document.finish();
  const auto errors = errors_of(document);
  *error = errors.empty() ? "" : errors[0];
  CHECK(errors.size() <= 1);
  CHECK(document.ok() != errors.size());
  return secret.reveal();
}

}  // namespace

TEST_CASE("conf.d is merged in the order of names; a later file wins, arrays of tables are joined") {
  Folder folder;
  const auto file = folder.write("hamlet.toml", R"([uplink]
broker = "main"
user = "main"
[[device]]
id = "one"
[tags]
a = 1
)");
  folder.write("conf.d/20-second.toml", "[uplink]\nbroker = \"second\"\n[[device]]\nid = \"three\"\ncolour = 1\n");
  folder.write("conf.d/10-first.toml",
               "[uplink]\nbroker = \"first\"\nkeepalive = \"x\"\n\n[[device]]\nid = \"TWO\"\n[tags]\nb = 2\n");
  folder.write("conf.d/README.md", "not TOML");
  folder.write("conf.d/.#20-second.toml", "not TOML");
  auto document = Document::load(file);
  REQUIRE(document.ok());
  const auto root = document.root();
  const auto uplink = root.table("uplink");
  CHECK(uplink.text("broker") == "second");
  CHECK(uplink.text("user") == "main");
  CHECK(uplink.duration_or("keepalive", {}) == Millis{0});
  const auto tags = root.table("tags");
  CHECK(tags.integer("a") + tags.integer("b") == 3);
  std::vector<std::string> ids;
  for (const auto& device : root.tables("device")) {
    ids.push_back(device.id("id"));
    (void)device.text("driver");
  }
  CHECK(ids == std::vector<std::string>{"one", "unnamed", "three"});
  document.finish();

  // Each in its own file, at its own line, although the tables have moved together.
  CHECK(errors_of(document) ==
        Errors{folder.in(
                   "conf.d/10-first.toml:3:13: uplink.keepalive: 'x' is not a duration; write a number and a unit, as "
                   "in \"250ms\", \"5s\", \"10min\", \"2h\" or \"7d\""),
               folder.in("conf.d/10-first.toml:5:1: device[2].driver: missing; this key is required"),
               folder.in("conf.d/10-first.toml:6:6: device[2].id: expected an id: 1 to 32 of a-z, 0-9 and '-', in "
                         "quotes"),
               folder.in("conf.d/20-second.toml:3:1: device[3].driver: missing; this key is required"),
               folder.in("conf.d/20-second.toml:5:1: unknown key 'colour' in device[3]; known here: driver, id"),
               folder.in("hamlet.toml:4:1: device[1].driver: missing; this key is required")});
}

TEST_CASE("a value of another kind replaces; the place is that of the file that wins") {
  Folder folder;
  const auto file = folder.write("hamlet.toml", "a = { b = 1 }\nc = [1, 2]\nd = 1\n");
  folder.write("conf.d/1.toml", "\n\n  d = \"x\"\nc = [3]\na = 5\n");
  auto document = Document::load(file);
  CHECK(document.root().numbers_or("c") == std::vector<double>{3});
  CHECK(document.root().integer_or("a", 0) == 5);
  CHECK(document.root().integer_or("d", 0) == 0);
  document.finish();
  CHECK(errors_of(document) == Errors{folder.in("conf.d/1.toml:3:7: d: expected an integer, found a string")});
}

TEST_CASE("every file that cannot be read is told") {
  Folder folder;
  CHECK(errors_of(Document::load(folder.path() / "gone.toml")) ==
        Errors{folder.in("gone.toml: there is no such file")});
  CHECK(errors_of(Document::load(folder.path())) ==
        Errors{folder.path().string() + ": this is a directory, a file is expected"});
  const auto file = folder.write("hamlet.toml", "a = 1\nb\n");
  folder.write("conf.d/1.toml", "c = [\n");
  folder.write("conf.d/2.toml/x", "");
  folder.write("conf.d/3.toml", std::string(1 << 20, '#') + "#");
  folder.write("conf.d/4.toml", std::string(1 << 20, '#'));
  const auto errors = errors_of(Document::load(file));
  REQUIRE(errors.size() == 4);
  CHECK(errors[0].starts_with(folder.in("hamlet.toml:2:2: this is not TOML: ")));
  CHECK(errors[1].starts_with(folder.in("conf.d/1.toml:")));
  CHECK(errors[2] == folder.in("conf.d/2.toml: this is a directory, a file is expected"));
  CHECK(errors[3] == folder.in("conf.d/3.toml: the file is larger than 1048576 bytes"));
}

TEST_CASE("too many files are not read") {
  Folder folder;
  const auto file = folder.write("hamlet.toml", "");
  for (int i = 0; i < 64; ++i) folder.write(fmt::format("conf.d/{}.toml", i), "");
  CHECK(errors_of(Document::load(file)) == Errors{folder.in("hamlet.toml: conf.d holds more than 63 files")});
  fs::remove(folder.path() / "conf.d/0.toml");
  CHECK(Document::load(file).ok());
}

TEST_CASE("a secret comes from a file that only its owner may read") {
  Folder folder;
  const auto file = folder.write("password", "s3cret\r\n");
  const auto text = fmt::format("password = {{ file = \"{}\" }}", file.string());
  std::string error;
  CHECK(reveal(text, &error) == "s3cret");
  CHECK(error.empty());

  for (const mode_t mode : {0644U, 0640U, 0604U, 0601U}) {
    REQUIRE(chmod(file.c_str(), mode) == 0);
    CHECK(reveal(text, &error).empty());
    CHECK(error == fmt::format("t.toml:1:12: password: {0} may be read by others than its owner; run: chmod 600 {0}",
                               file.string()));
  }
  fs::remove(file);
  CHECK(reveal(text, &error).empty());
  CHECK(error == fmt::format("t.toml:1:12: password: {}: there is no such file", file.string()));
  folder.write("password", std::string((64 << 10) + 1, 'x'));
  CHECK(reveal(text, &error).empty());
  CHECK(error == fmt::format("t.toml:1:12: password: {}: the file is larger than 65536 bytes", file.string()));
}

TEST_CASE("a secret that is a pipe is refused: to open it would wait for its other end") {
  Folder folder;
  const auto pipe = folder.path() / "pipe";
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  std::string error;
  CHECK(reveal(fmt::format("password = {{ file = \"{}\" }}", pipe.string()), &error).empty());
  CHECK(error == fmt::format("t.toml:1:12: password: {}: this is no regular file but a pipe, device or socket", pipe.string()));
}

TEST_CASE("a secret in the config itself is refused, and not repeated") {
  std::string error;
  for (const std::string text :
       {"password = \"s3cret\"", "password = { value = \"s3cret\" }", "password = 5",
        "password = { file = \"/x\", credential = \"s3cret\" }", "password = { file = 5 }", "password = {}"}) {
    CAPTURE(text);
    CHECK(reveal(text, &error).empty());
    CHECK(
        error ==
        "t.toml:1:12: password: expected { credential = \"name\" } or { file = \"/path\" }; a secret is never written "
        "into the config");
  }
  CHECK(reveal("", &error).empty());
  CHECK(error.empty());
}

TEST_CASE("a secret comes from systemd's credentials") {
  Folder folder;
  folder.write("mqtt", "s3cret");
  std::string error;
  unsetenv("CREDENTIALS_DIRECTORY");
  CHECK(reveal("password = { credential = \"mqtt\" }", &error).empty());
  CHECK(error ==
        "t.toml:1:12: password: credential 'mqtt' was not passed to this process; add LoadCredential=mqtt:/path "
        "to the unit, or use { file = \"/path\" }");
  setenv("CREDENTIALS_DIRECTORY", folder.path().c_str(), 1);
  CHECK(reveal("password = { credential = \"mqtt\" }", &error) == "s3cret");
  CHECK(error.empty());
  CHECK(reveal("password = { credential = \"../mqtt\" }", &error).empty());
  CHECK(!error.empty());
  CHECK(reveal("password = { credential = \"other\" }", &error).empty());
  CHECK(error == "t.toml:1:12: password: " + folder.in("other") + ": there is no such file");
  unsetenv("CREDENTIALS_DIRECTORY");
}
