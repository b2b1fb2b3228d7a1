#pragma once

#include <string_view>

#include "firmware/core/sentence.hpp"

// What the reader of [uplink] says.
namespace hamlet::uplink::texts {

inline Text want_broker(std::string_view found) {
  return sentence("“{}”不是服务器地址；应为 mqtt://主机 或 mqtt://主机:端口",
                  "\"{}\" is no broker address: expected mqtt://host or mqtt://host:port", found);
}

}  // namespace hamlet::uplink::texts
