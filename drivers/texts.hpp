#pragma once

#include <string_view>

#include "firmware/core/sentence.hpp"

// What the readers of [[device]] say. A driver of your own puts its sentences here too.
namespace hamlet::drivers::texts {

inline Text no_driver(std::string_view name) {
  return sentence("没有驱动“{}”", "there is no driver '{}'", name);
}
inline Text perhaps(const Text& message, std::string_view near) {
  return sentence("{}；是否应为“{}”？", "{}; did you mean '{}'?", message, near);
}
inline Text known(const Text& message, std::string_view names) {
  return sentence("{}；可用：{}", "{}; known: {}", message, names);
}
inline Text point_twice(std::string_view name) {
  return sentence("本设备已有测点“{}”", "there is a point '{}' in this device already", name);
}
inline Text want_span() {
  return sentence("应为仪表量程 [最小, 最大]，如 [0, 10]",
                  "expected [lowest, highest] of what the instrument can measure, as [0, 10]");
}
inline Text no_point() {
  return sentence("设备至少要有一个 [[device.point]]", "a device needs at least one [[device.point]]");
}
inline Text device_twice(std::string_view id) {
  return sentence("已有设备“{}”", "there is a device '{}' already", id);
}

// Modbus.
inline Text no_order() {
  return sentence("单个寄存器的值没有字序；应为 \"ABCD\" 或 \"BADC\"（字节交换）",
                  "a value of one register has no word order; expected \"ABCD\" or \"BADC\" (bytes swapped)");
}
inline Text not_for_a_bit() {
  return sentence("对 bit 类型无意义", "has no meaning for a bit");
}
inline Text only_for_a_bit() {
  return sentence("没有 type = \"bit\" 时无意义", "has no meaning without type = \"bit\"");
}
inline Text not_for_a_flag() {
  return sentence("对线圈或离散输入无意义：其值为布尔值",
                  "has no meaning for a coil or a discrete input: it is a boolean");
}
inline Text scale_zero() {
  return sentence("0 会使所有读数相同；请填其他数字", "0 would make every value the same; expected another number");
}
inline Text beyond_last_register(std::uint32_t count) {
  return sentence("该值占 {} 个寄存器，会超出最后一个寄存器",
                  "the value takes {} registers and would end after the last one", count);
}
inline Text want_ip_address() {
  return sentence("应为 IP 地址，如 \"192.168.1.20\"（不解析域名）",
                  "expected an IP address, as \"192.168.1.20\" (names are not looked up)");
}

}  // namespace hamlet::drivers::texts
