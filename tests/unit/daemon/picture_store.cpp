#include "firmware/daemon/picture_store.hpp"

#include <chrono>
#include <fstream>
#include <optional>

#include <boost/asio/steady_timer.hpp>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <utime.h>

#include "tests/support/process.hpp"

namespace {

using namespace hamlet;
using daemon::PictureStore;
namespace fs = std::filesystem;

const WallTime kNow{std::chrono::sys_days{std::chrono::year{2026} / 6 / 1}};

std::string name(int number) { return fmt::format("00000000000000aa-{}", number); }
std::string jpeg(std::size_t bytes) { return "\xff\xd8" + std::string(bytes, 'x'); }

struct Shelf {
  support::TempDir dir;
  boost::asio::io_context io;
  PictureStore::Options options{.budget_bytes = 10'000, .keep = std::chrono::days{10}, .min_free_bytes = 0};
  std::optional<PictureStore> store;

  Shelf() { open(); }
  void open() {
    store.reset();
    store.emplace(io, dir.path(), options);
  }
  void keep(int number, std::size_t bytes = 3'000) { REQUIRE(store->keep(name(number), jpeg(bytes), {{"camera", "ford"}})); }

  // Asks, and waits for the answer.
  template <class T, class Ask>
  T answer(const Ask& ask) {
    std::optional<T> out;
    ask([&](T got) { out = std::move(got); });
    boost::asio::steady_timer patience{io, std::chrono::seconds{20}};
    patience.async_wait([](const boost::system::error_code&) {});
    io.restart();
    while (!out && io.run_one() > 0 && patience.expiry() > std::chrono::steady_clock::now()) {
    }
    REQUIRE(out);
    return *std::move(out);
  }
  Result<PictureStore::Listing> list(bool held = false) {
    return answer<Result<PictureStore::Listing>>([&](auto then) { store->list(100, held, then); });
  }
  Status hold(int number, bool held) {
    return answer<Status>([&](auto then) { store->hold(name(number), held, then); });
  }
  Result<std::string> read(int number) {
    return answer<Result<std::string>>([&](auto then) { store->read(name(number), then); });
  }
  std::string names(bool held = false) {
    std::string out;
    const auto found = list(held);
    for (const auto& picture : found->pictures) out += picture.name.substr(17) + " ";
    return out;
  }
  // As if it had been stored so long before kNow.
  void age(const fs::path& file, std::chrono::hours by) const {
    const auto at = std::chrono::duration_cast<std::chrono::seconds>((kNow - by).time_since_epoch()).count();
    const utimbuf times{at, at};
    REQUIRE(utime((dir.path() / file).c_str(), &times) == 0);
  }
};

}  // namespace

TEST_CASE("a picture is kept with what it shows, where nobody but the daemon may look") {
  Shelf shelf;
  shelf.keep(1);
  const auto pictures = shelf.list()->pictures;
  REQUIRE(pictures.size() == 1);
  CHECK(nlohmann::json::parse(pictures[0].about).at("camera") == "ford");
  CHECK(shelf.read(1)->starts_with("\xff\xd8\xff\xfe"));
  CHECK(shelf.read(1)->ends_with(std::string(3'000, 'x')));
  CHECK(shelf.read(2).error().code == Errc::not_found);
  struct stat folder {};
  REQUIRE(stat((shelf.dir.path() / "full").c_str(), &folder) == 0);
  CHECK((folder.st_mode & 0777U) == 0700U);
}

TEST_CASE("that pictures cannot be stored is known until one is, and a folder that somebody has deleted is made anew") {
  Shelf shelf;
  shelf.keep(1);
  CHECK(shelf.list());
  CHECK_FALSE(shelf.store->failing());
  fs::remove_all(shelf.dir.path() / "full");
  std::ofstream{shelf.dir.path() / "full"} << "in the way";
  shelf.keep(2);
  CHECK(shelf.list());
  CHECK(shelf.store->failing());
  fs::remove(shelf.dir.path() / "full");
  shelf.keep(3);
  CHECK(shelf.list());
  CHECK_FALSE(shelf.store->failing());
  CHECK(shelf.read(3));
}

TEST_CASE("the oldest pictures give way to the budget, held ones never") {
  Shelf shelf;
  for (const int number : {1, 2}) shelf.keep(number);
  REQUIRE(shelf.hold(1, true));
  for (const int number : {3, 4, 5, 6}) shelf.keep(number);
  CHECK(shelf.names() == "6 5 4 1 ");
  CHECK(shelf.names(true) == "1 ");
  CHECK(shelf.list()->bytes <= 10'000);
  CHECK(shelf.list()->held_bytes > 3'000);

  SUBCASE("across a restart, a power cut's leftovers swept") {
    std::ofstream{shelf.dir.path() / "full" / (name(9) + ".jpg.tmp")} << "half";
    shelf.open();
    CHECK(shelf.names(true) == "1 ");
    CHECK_FALSE(fs::exists(shelf.dir.path() / "full" / (name(9) + ".jpg.tmp")));
    shelf.keep(7);
    CHECK(shelf.read(1));
    CHECK(shelf.list()->bytes <= 10'000);
  }
  SUBCASE("a released one is the oldest again") {
    REQUIRE(shelf.hold(1, false));
    CHECK(shelf.list()->held_bytes == 0);
    shelf.keep(7);
    CHECK_FALSE(shelf.read(1));
    CHECK(shelf.names() == "7 6 5 ");
  }
  SUBCASE("a smaller budget acts at the next look") {
    shelf.options.budget_bytes = 4'000;
    shelf.store->set_options(shelf.options);
    shelf.store->tend({});
    CHECK(shelf.names() == "6 1 ");
  }
}

TEST_CASE("by age goes at most a day's pictures an hour, and nothing while the clock is unset") {
  Shelf shelf;
  shelf.options.budget_bytes = 1'000'000;
  shelf.open();
  for (int number = 1; number <= 5; ++number) shelf.keep(number);
  REQUIRE(shelf.hold(2, true));
  shelf.age("full/" + name(1) + ".jpg", std::chrono::hours{24 * 20});
  shelf.age("held/" + name(2) + ".jpg", std::chrono::hours{24 * 20});
  shelf.age("full/" + name(3) + ".jpg", std::chrono::hours{24 * 15});
  shelf.age("full/" + name(4) + ".jpg", std::chrono::hours{24 * 9});
  shelf.age("full/" + name(5) + ".jpg", std::chrono::hours{24 * 366 * 50});  // stored while the clock was unset
  shelf.open();
  shelf.store->tend({});
  CHECK(shelf.list()->pictures.size() == 5);
  shelf.store->tend(kNow);
  CHECK_FALSE(shelf.read(1));
  CHECK(shelf.read(3));
  shelf.store->tend(kNow + std::chrono::minutes{30});
  CHECK(shelf.read(3));
  shelf.store->tend(kNow + std::chrono::hours{1});
  CHECK_FALSE(shelf.read(3));
  shelf.store->tend(kNow + std::chrono::hours{2});
  CHECK(shelf.names() == "4 2 5 ");
}

TEST_CASE("a picture that only the journal has can be held too, and outlives it there") {
  Shelf shelf;
  std::ofstream{shelf.dir.path() / (name(8) + ".jpg")} << jpeg(10);
  CHECK(shelf.hold(9, true).error().code == Errc::not_found);
  REQUIRE(shelf.hold(8, true));
  fs::remove(shelf.dir.path() / (name(8) + ".jpg"));
  CHECK(shelf.read(8));
  CHECK(shelf.names(true) == "8 ");
}

TEST_CASE("a name is no path") {
  CHECK(daemon::is_picture_name(name(1)));
  CHECK_FALSE(daemon::is_picture_name("../../etc/passwd"));
  CHECK_FALSE(daemon::is_picture_name("00000000000000aa-1/../x"));
  CHECK_FALSE(daemon::is_picture_name(""));
}
