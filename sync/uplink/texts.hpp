#pragma once

#include <string_view>

#include "firmware/core/sentence.hpp"

// What the reader of [uplink] says, and refusals of the command `replay`.
namespace hamlet::uplink::texts {

inline Text want_broker(std::string_view found) {
  return sentence("“{}”不是服务器地址；应为 mqtt://主机 或 mqtt://主机:端口",
                  "\"{}\" is no broker address: expected mqtt://host or mqtt://host:port", found);
}

inline Text replay_lane() {
  return {"lane 应为 alarm、event、tele 或 media", "lane must be alarm, event, tele or media"};
}

inline Text replay_epoch(std::string_view epoch) {
  return sentence("日志中没有纪元 {}", "the journal has no epoch {}", epoch);
}

inline Text replay_range(std::uint64_t last) {
  return sentence("from 和 to 应满足 1 ≤ from ≤ to，且 from 不超过 {}", "from and to: 1 <= from <= to, and from at most {}", last);
}

inline Text replay_full() {
  return {"等待重发的请求太多，请稍后再试", "too many requests wait to be sent again: ask later"};
}

}  // namespace hamlet::uplink::texts
