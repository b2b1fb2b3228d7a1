#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "firmware/core/sentence.hpp"

// What the reader of [uplink] says, the state of the link, refusals of the command `replay`.
namespace hamlet::uplink::texts {

inline Text want_broker(std::string_view found) {
  return sentence("“{}”不是服务器地址；应为 mqtt://主机[:端口]，或经 TLS：mqtts://主机[:端口]",
                  "\"{}\" is no broker address: expected mqtt://host or mqtt://host:port, or by TLS mqtts://host[:port]", found);
}

inline Text cert_and_key() {
  return {"cert 和 key 须同时给出", "cert and key belong together: give both or none"};
}

/// What another wrote, as it is.
inline Text plain(std::string_view words) { return {std::string{words}, std::string{words}}; }

inline Text refused(std::string_view what, std::string_view reason) {
  return sentence("服务器拒绝接收 {}：{}：请县里检查本机的权限 (ACL)", "the broker refuses {}: {}: check its access rules for this box", what, reason);
}

inline Text over_quota(std::string_view what, std::string_view reason) {
  return sentence("服务器暂不接收 {}：{}：稍后自动再试", "the broker takes no {} now: {}: it is tried again later", what, reason);
}

inline Text half_open(std::string_view within) {
  return sentence("{} 内没有任何确认：链路已断，而两端都不知道", "nothing was acknowledged within {}: the link is dead, though nobody has said so", within);
}

inline Text no_answer() {
  return {"没有应答：请检查网络", "no answer: check the network"};
}

inline Text not_read_back() {
  return {"服务器不让本机读回，不影响使用", "the broker does not let this box read it back; that is no fault"};
}

inline Text test_is_running() {
  return {"已有一个测试在进行", "a test is under way already"};
}

inline Text not_enabled() {
  return {"没有启用 [uplink]", "[uplink] is not enabled"};
}

inline Text cert_expires(std::string_view host, std::string_view day) {
  return sentence("{} 的证书将于 {} 过期：请县里及时更换", "the certificate of {} expires on {}: the county must renew it before", host, day);
}

inline Text own_cert_expires(std::string_view day) {
  return sentence("本机的证书将于 {} 过期：请县里及时更换", "this box's certificate expires on {}: the county must renew it before", day);
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
