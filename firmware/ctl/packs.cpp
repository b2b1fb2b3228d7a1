#include "firmware/ctl/packs.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

#include "firmware/core/id.hpp"

namespace hamlet::ctl {

std::vector<Pack> find_packs(const std::filesystem::path& folder) {
  std::vector<Pack> out;
  std::error_code error;
  for (std::filesystem::directory_iterator it{folder, error}, end; !error && it != end; it.increment(error)) {
    Pack pack{.id = it->path().stem().string(), .title = {}, .toml = {}};
    if (it->path().extension() != ".toml" || !is_id(pack.id)) continue;
    std::ifstream in{it->path(), std::ios::binary};
    pack.toml.assign(std::istreambuf_iterator<char>{in}, {});
    std::istringstream lines{pack.toml};
    for (auto* title : {&pack.title.zh, &pack.title.en}) {
      std::getline(lines, *title);
      title->erase(0, title->find_first_not_of("# "));
    }
    if (!pack.toml.empty()) out.push_back(std::move(pack));
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return out;
}

}  // namespace hamlet::ctl
