#pragma once

#include <string_view>

#include "firmware/core/sentence.hpp"

// What is said of a config where two rooms' tables do not fit together.
namespace hamlet::daemon::texts {

inline Text want_division() {
  return sentence("应为 12 位数字的区划代码，如 430124104203",
                  "expected a division code of 12 digits, as in 430124104203");
}
inline Text want_path() {
  return sentence("应为三段（县、乡镇、村），每段 1 至 64 个 A-Z、a-z、0-9、“-”或“_”",
                  "expected three words (county, town, village), each 1 to 64 of A-Z, a-z, 0-9, '-' and '_'");
}
inline Text source_taken() {
  return sentence("已有设备用此标识，或者它是 \"gateway\"", "a device has this id, or it is \"gateway\"");
}
inline Text not_the_countys(std::string_view key) {
  return sentence("本机配置不允许县里改动 {}（见 [county] tables）", "this box's config does not let the county change {} (see [county] tables)", key);
}
inline Text never_the_countys(std::string_view key) {
  return sentence("{} 涉及权限、口令、证书或要运行的程序，只能在本机改动",
                  "{} is about rights, passwords, certificates or what is run: it can only be changed on the box", key);
}
inline Text no_longer_tls(std::string_view broker) {
  return sentence("本机用 TLS，县里不能改为不加密的 {}", "this box uses TLS: the county cannot change that to {}, which does not", broker);
}

}  // namespace hamlet::daemon::texts
