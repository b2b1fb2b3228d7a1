#pragma once

#include <string>

#include <netdb.h>

namespace hamlet::wire {

/// From now on Paho's look-up of `host` finds this numeric address, at once. See trap 5 in mqtt_client.cpp.
void pin_name(const std::string& host, const std::string& address);
/// The C library's own, whatever is pinned.
int getaddrinfo_of_libc(const char* node, const char* service, const addrinfo* hints, addrinfo** found);

}  // namespace hamlet::wire
