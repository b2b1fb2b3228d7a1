#include "firmware/wire/pinned_name.hpp"

#include <map>
#include <mutex>

#include <dlfcn.h>
#include <netdb.h>

// Paho looks names up while it holds the lock of all its calls, and by TLS it must be given the name: that is what it asks for (SNI) and what
// it wants to see in the certificate. So our resolver looks the name up first, with a deadline, and this program's getaddrinfo(), which comes
// before the C library's, answers Paho from what was found. Names that are not pinned go to the C library.

namespace hamlet::wire {

struct Pinned {
  std::mutex mutex;
  std::map<std::string, std::string, std::less<>> addresses;  // by name; as many as brokers are configured
};
// Of the process, as getaddrinfo() is.
static Pinned& pinned_names() {
  static Pinned it;
  return it;
}

void pin_name(const std::string& host, const std::string& address) {
  const std::lock_guard lock{pinned_names().mutex};
  pinned_names().addresses[host] = address;
}

int getaddrinfo_of_libc(const char* node, const char* service, const addrinfo* hints, addrinfo** found) {
  static const auto real = reinterpret_cast<decltype(&getaddrinfo_of_libc)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(node, service, hints, found);
}

}  // namespace hamlet::wire

extern "C" __attribute__((visibility("default"))) int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** found) {
  std::string address;
  if (node != nullptr) {
    auto& table = hamlet::wire::pinned_names();
    const std::lock_guard lock{table.mutex};
    if (const auto known = table.addresses.find(std::string_view{node}); known != table.addresses.end()) address = known->second;
  }
  return hamlet::wire::getaddrinfo_of_libc(address.empty() ? node : address.c_str(), service, hints, found);
}
