#pragma once

#include <span>
#include <string_view>

#include "firmware/core/sentence.hpp"

// What the reader of the config says. Each room that reads a table has a texts.hpp like this one; the key goes in front
// by itself.
namespace hamlet::config::texts {

// Files.
inline Text no_file() {
  return sentence("没有这个文件", "there is no such file");
}
inline Text is_directory() {
  return sentence("这是目录，应为文件", "this is a directory, a file is expected");
}
inline Text not_a_file() {
  return sentence("这不是普通文件（而是管道、设备或套接字）", "this is no regular file but a pipe, device or socket");
}
inline Text cannot_open() {
  return sentence("无法打开文件；请检查属主和权限", "the file cannot be opened; check its owner and mode");
}
inline Text too_large(std::size_t bytes) {
  return sentence("文件超过 {} 字节", "the file is larger than {} bytes", bytes);
}
inline Text too_many_files(std::size_t most) {
  return sentence("conf.d 中的文件超过 {} 个", "conf.d holds more than {} files", most);
}
inline Text not_utf8() {
  return sentence("不是 UTF-8 编码；请用 UTF-8 编码重新保存文件",
                  "this is not UTF-8; save the file again in the encoding UTF-8");
}
inline Text deep_key(int parts) {
  return sentence("此处的键超过 {} 段", "a key here has more than {} parts", parts);
}
inline Text not_toml(std::string_view why) {  // the parser speaks English only
  return sentence("不是有效的 TOML：{}", "this is not TOML: {}", why);
}

// Keys.
inline Text at(std::string_view path, const Text& message) {
  return path.empty() ? message : sentence("{}：{}", "{}: {}", path, message);
}
inline Text missing() {
  return sentence("缺少此项；必须填写", "missing; this key is required");
}
inline Text unknown_key(std::string_view key, std::string_view table) {
  return table.empty() ? sentence("未知的键“{}”", "unknown key '{}'", key)
                       : sentence("{1} 中有未知的键“{0}”", "unknown key '{}' in {}", key, table);
}
inline Text perhaps(const Text& message, std::string_view near) {
  return sentence("{}；是否应为“{}”？", "{}; did you mean '{}'?", message, near);
}
inline Text known_here(const Text& message, std::string_view keys) {
  return sentence("{}；此处可用：{}", "{}; known here: {}", message, keys);
}

// Kinds of values, as "found …" names them.
inline Text table() {
  return sentence("表", "a table");
}
inline Text array() {
  return sentence("数组", "an array");
}
inline Text string() {
  return sentence("字符串", "a string");
}
inline Text integer() {
  return sentence("整数", "an integer");
}
inline Text number() {
  return sentence("数字", "a number");
}
inline Text boolean() {
  return sentence("布尔值", "a boolean");
}
inline Text date() {
  return sentence("日期", "a date");
}
inline Text time() {
  return sentence("时间", "a time");
}
inline Text date_time() {
  return sentence("日期时间", "a date and time");
}
inline Text nothing() {
  return sentence("空", "nothing");
}

// Values: what is expected, and what was found.
inline Text want_string(const Text& found) {
  return sentence("应为带引号的字符串，实际为{}", "expected a string in quotes, found {}", found);
}
inline Text want_id() {
  return sentence("应为带引号的标识：1 至 32 个 a-z、0-9 或“-”",
                  "expected an id: 1 to 32 of a-z, 0-9 and '-', in quotes");
}
inline Text want_point() {
  return sentence("应为测点，写作 \"device.point\"", "expected a point as \"device.point\"");
}
inline Text want_both() {
  return sentence("应为两种语言的文字，写作 { zh = \"…\", en = \"…\" }",
                  "expected a text in both languages, as { zh = \"…\", en = \"…\" }");
}
inline Text want_flag(const Text& found) {
  return sentence("应为 true 或 false，实际为{}", "expected true or false, found {}", found);
}
inline Text want_value(const Text& found) {
  return sentence("应为 true、false、数字或带引号的文字，实际为{}",
                  "expected true, false, a number or a text in quotes, found {}", found);
}
inline Text want_integer(const Text& found) {
  return sentence("应为整数，实际为{}", "expected an integer, found {}", found);
}
inline Text want_number(const Text& found) {
  return sentence("应为数字，实际为{}", "expected a number, found {}", found);
}
inline Text want_finite() {
  return sentence("应为有限的数字", "expected a finite number");
}
inline Text want_duration(const Text& found) {
  return sentence("应为带引号的时长，如 \"5s\"，实际为{}", "expected a duration in quotes, as in \"5s\", found {}",
                  found);
}
inline Text not_a_duration(std::string_view word) {
  return sentence(
      "“{}”不是时长；请写数字加单位，如 \"250ms\"、\"5s\"、\"10min\"、\"2h\" 或 \"7d\"",
      "'{}' is not a duration; write a number and a unit, as in \"250ms\", \"5s\", \"10min\", \"2h\" or \"7d\"", word);
}
template <class T>
Text out_of_range(const T& value, const Text& range) {
  return sentence("{} 超出范围；应为 {}", "{} is out of range; expected {}", value, range);
}
template <class T>
Text from_to(const T& min, const T& max) {
  return sentence("{} 至 {}", "{} to {}", min, max);
}
template <class T>
Text at_least(const T& min) {
  return sentence("{} 或更大", "{} or more", min);
}
template <class T>
Text at_most(const T& max) {
  return sentence("{} 或更小", "{} or less", max);
}
inline Text want_one_of(std::string_view words) {
  return sentence("应为下列之一：{}", "expected one of {}", words);
}
inline Text perhaps_quoted(const Text& message, std::string_view near) {
  return sentence("{}；是否应为 \"{}\"？", "{}; did you mean \"{}\"?", message, near);
}
inline Text want_numbers() {
  return sentence("应为数字的数组，如 [1, 2.5]", "expected an array of numbers, as [1, 2.5]");
}
inline Text want_strings() {
  return sentence("应为字符串的数组，如 [\"a\", \"b\"]", "expected an array of strings, as [\"a\", \"b\"]");
}
inline Text want_pairs() {
  return sentence("应为成对的数字，如 [[0, 0], [320, 0], [320, 240]]",
                  "expected pairs of numbers, as [[0, 0], [320, 0], [320, 240]]");
}
inline Text want_table(const Text& found) {
  return sentence("应为表，实际为{}", "expected a table, found {}", found);
}
inline Text want_tables(std::string_view path, const Text& found) {
  return sentence("应为表的数组，写作 [[{}]]，实际为{}", "expected an array of tables, written as [[{}]], found {}",
                  path, found);
}

// Secrets.
inline Text want_secret() {
  return sentence(
      "应为 { credential = \"name\" } 或 { file = \"/path\" }；密码不写在配置里",
      "expected { credential = \"name\" } or { file = \"/path\" }; a secret is never written into the config");
}
inline Text no_credential(std::string_view name) {
  return sentence("凭据“{0}”没有传给本进程；请在 unit 中加 LoadCredential={0}:/path，或改用 {{ file = \"/path\" }}",
                  "credential '{0}' was not passed to this process; add LoadCredential={0}:/path to the unit, or use "
                  "{{ file = \"/path\" }}",
                  name);
}
inline Text secret_is_open(std::string_view file) {
  return sentence("{0} 可被属主以外的人读取；请执行：chmod 600 {0}",
                  "{0} may be read by others than its owner; run: chmod 600 {0}", file);
}

// [gateway]
inline Text want_absolute() {
  return sentence("应为从根目录起的路径，如 \"/var/lib/hamlet\"",
                  "expected a path from the root, as in \"/var/lib/hamlet\"");
}
inline Text no_gateway() {
  return sentence("缺少表 [gateway]；它说明这台网关是谁：id 和 division",
                  "the table [gateway] is missing; it says who this box is: id and division");
}
inline Text division_or_path() {
  return sentence("请填 division = \"12 位数字\" 或 path = [\"县\", \"乡镇\", \"村\"]，二者取一",
                  "give either division = \"12 digits\" or path = [\"county\", \"town\", \"village\"]");
}
inline Text run_dir_too_long() {
  return sentence("路径太长，不能用作 Unix 套接字；连同 /control.sock 不得超过 107 字节",
                  "the path is too long for a Unix socket; with /control.sock it must fit in 107 bytes");
}

}  // namespace hamlet::config::texts
