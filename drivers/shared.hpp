#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace hamlet::drivers {

/// What several devices use together: a serial bus, a connection to a broker. Io thread only.
class Commons {
 public:
  /// The T of this key; made when nobody holds one. Two drivers must not use one key for two types: begin it with the
  /// driver's name.
  template <class T, class Make>
  [[nodiscard]] std::shared_ptr<T> get(const std::string& key, Make make) {
    auto& slot = held_[key];
    auto present = std::static_pointer_cast<T>(slot.lock());
    if (!present) {
      present = make();
      slot = present;
    }
    return present;
  }

 private:
  std::map<std::string, std::weak_ptr<void>> held_;
};

/// The little that a device must know after a restart, such as a count. Io thread only. Keys are names of points; values
/// are short texts. What is remembered is durable within the journal's window. Either may be empty: then nothing lasts.
struct Memory {
  std::function<std::optional<std::string>(const std::string& key)> recall{};
  std::function<void(const std::string& key, std::string value)> remember{};
};

}  // namespace hamlet::drivers
