// Stands in for libFuzzer where the compiler has none: runs a target on every seed and on mutations of them that are
// the same each time. It looks at what one knows to be tricky; tests/fuzz/run, with libFuzzer, looks for what one does
// not.

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "tests/fuzz/targets.hpp"

namespace {

constexpr int kMutations = 4000;
constexpr std::chrono::seconds kBudget{20};
constexpr std::size_t kMaxSize = 65'536;
constexpr const char* kCrashFile = "crash-input";

// What the handler of a fatal signal writes down. Set before each run.
const std::string* volatile running = nullptr;

hamlet::FuzzTarget target = nullptr;

extern "C" void keep_input(int signal) {
  const std::string* const input = running;
  const int file = input == nullptr ? -1 : open(kCrashFile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file >= 0 && write(file, input->data(), input->size()) >= 0) {
    constexpr std::string_view kTold = "the input that did it is in ./crash-input\n";
    [[maybe_unused]] const auto told = write(STDERR_FILENO, kTold.data(), kTold.size());
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run(const std::string& input) {
  running = &input;
  // A copy of exactly its size on the heap: a sanitizer then sees a read beyond the end.
  const std::vector<std::uint8_t> bytes{input.begin(), input.end()};
  target(bytes.data(), bytes.size());
  running = nullptr;
}

std::vector<std::string> read_seeds(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator{folder}) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> seeds;
  for (const auto& path : paths) {
    std::ifstream file{path, std::ios::binary};
    seeds.emplace_back(std::istreambuf_iterator<char>{file}, std::istreambuf_iterator<char>{});
  }
  return seeds;
}

/// Small damages, as lines, disks and enemies do them.
class Mutator {
 public:
  std::string mutate(std::string input, const std::string& other) {
    for (std::size_t times = 1 + below(4); times > 0; --times) damage(input, other);
    input.resize(std::min(input.size(), kMaxSize));
    return input;
  }
  std::size_t below(std::size_t bound) { return std::uniform_int_distribution<std::size_t>{0, bound - 1}(random_); }

 private:
  void damage(std::string& input, const std::string& other) {
    const std::size_t at = below(input.size() + 1);
    const std::size_t length = std::min(below(16) + 1, input.size() - at);
    switch (below(7)) {
      case 0:
        input.erase(at, length);
        break;
      case 1:
        input.insert(at, 1, static_cast<char>(below(256)));
        break;
      case 2:
        input.insert(at, input.substr(at, length));
        break;
      case 3:
        input.insert(at, below(64), at < input.size() ? input[at] : '[');
        break;
      case 4:
        input.resize(at);
        break;
      case 5:
        input.replace(at, length, other, 0, below(other.size() + 1));
        break;
      default:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
    }
  }

  std::mt19937_64 random_{20'260'501};
};

}  // namespace

int main(int argc, char** argv) {
  const auto all = hamlet::fuzz_targets();
  const auto found = argc == 3 ? all.find(argv[1]) : all.end();
  if (found == all.end()) {
    fmt::print(stderr, "usage: {} TARGET FOLDER-OF-SEEDS | FILE\n", argv[0]);
    return 2;
  }
  target = found->second;
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(signal, keep_input);
  const std::filesystem::path given{argv[2]};
  if (std::filesystem::is_regular_file(given)) {
    std::ifstream file{given, std::ios::binary};
    run(std::string{std::istreambuf_iterator<char>{file}, std::istreambuf_iterator<char>{}});
    return 0;
  }
  const auto seeds = read_seeds(given);
  if (seeds.empty()) {
    fmt::print(stderr, "no seeds in {}: a fuzz target without them tests nothing\n", given.string());
    return 1;
  }
  for (const auto& seed : seeds) run(seed);
  Mutator mutator;
  const auto deadline = std::chrono::steady_clock::now() + kBudget;
  int done = 0;
  for (; done < kMutations && std::chrono::steady_clock::now() < deadline; ++done) {
    const auto& seed = seeds[mutator.below(seeds.size())];
    run(mutator.mutate(seed, seeds[mutator.below(seeds.size())]));
  }
  fmt::print("{} seeds and {} mutations of them\n", seeds.size(), done);
  return 0;
}
