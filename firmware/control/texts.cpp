#include "firmware/control/texts.hpp"

#include <limits>

#include <fmt/format.h>

namespace hamlet::control::texts {
namespace {

std::string range(std::int64_t min, std::int64_t max) {
  if (max == std::numeric_limits<std::int64_t>::max()) return fmt::format("≥ {}", min);
  return fmt::format("{} … {}", min, max);
}

}  // namespace

Text request_too_long() {
  return {"请求超过 64 KiB", "the request is longer than 64 KiB"};
}

Text request_not_json() {
  return {"请求不是一行 JSON，或嵌套过深", "the request is not one line of JSON, or is nested too deep"};
}

Text request_wrong_form() {
  return {R"(请求格式应为 {"verb":"…","args":{…},"id":…})", R"(a request has the form {"verb":"…","args":{…},"id":…})"};
}

Text answer_too_long() {
  return {"结果超过 16 MiB；请缩短时间范围或减小 limit",
          "the result is longer than 16 MiB; ask for a shorter time or a smaller limit"};
}

Text no_answer_in_time(std::string_view verb) {
  return {fmt::format("{} 在期限内没有完成；请稍后再试", verb),
          fmt::format("{} did not finish within its deadline; try again later", verb)};
}

Text verb_unknown(std::string_view verb) {
  return {fmt::format("没有命令“{}”", verb), fmt::format("there is no verb '{}'", verb)};
}

Text verb_unknown(std::string_view verb, std::string_view nearest) {
  return {fmt::format("没有命令“{}”；您是否想用“{}”？", verb, nearest),
          fmt::format("there is no verb '{}'; did you mean '{}'?", verb, nearest)};
}

Text may_not_read() {
  return {"您的用户不在 hamlet 用户组，无权查看；请管理员执行 usermod -aG hamlet 用户名，然后重新登录",
          "your user is not in the group hamlet and may not read; an administrator can run usermod -aG hamlet USER, "
          "then log in again"};
}

Text may_not_change(std::string_view verb) {
  return {
      fmt::format("{} 会改变状态，需要 hamlet-admin 用户组或 root；请用 sudo，或由管理员执行 "
                  "usermod -aG hamlet,hamlet-admin 用户名，然后重新登录",
                  verb),
      fmt::format("{} changes something and needs the group hamlet-admin or root; use sudo, or have an administrator "
                  "run usermod -aG hamlet,hamlet-admin USER, then log in again",
                  verb)};
}

Text not_open_to_county(std::string_view verb) {
  return {fmt::format("{} 只能在网关本机执行", verb), fmt::format("{} can only be given on the gateway itself", verb)};
}

Text too_many_connections() {
  return {"连接过多，请稍后再试；若一直如此，请检查是否有程序反复运行 hamlet",
          "too many connections, try again later; if this lasts, look for a program that keeps running hamlet"};
}

Text too_much_pending() {
  return {"其他连接的大量结果尚未取走，请稍后再试",
          "other connections have not yet taken large results, try again later"};
}

Text arg_missing(std::string_view key) {
  return {fmt::format("缺少参数 {}", key), fmt::format("the argument {} is missing", key)};
}

Text arg_unknown(std::string_view key) {
  return {fmt::format("没有参数 {}", key), fmt::format("there is no argument {}", key)};
}

Text arg_not_text(std::string_view key) {
  return {fmt::format("参数 {} 应为非空字符串", key), fmt::format("the argument {} must be a string, not empty", key)};
}

Text arg_not_value(std::string_view key) {
  return {fmt::format("参数 {} 应为 true、false 或非空字符串", key),
          fmt::format("the argument {} must be true, false or a string, not empty", key)};
}

Text arg_not_integer(std::string_view key, std::int64_t min, std::int64_t max) {
  return {fmt::format("参数 {} 应为整数，范围 {}", key, range(min, max)),
          fmt::format("the argument {} must be a whole number, {}", key, range(min, max))};
}

Text args_wrong(std::string_view detail) {
  return {fmt::format("参数有误：{}", detail), fmt::format("the arguments are wrong: {}", detail)};
}

Text socket_path_too_long(std::string_view path) {
  return {fmt::format("套接字路径过长（最多 107 字节）：{}", path),
          fmt::format("the socket's path is too long (107 bytes at most): {}", path)};
}

Text no_socket(std::string_view path) {
  return {fmt::format("网关服务 hamletd 没有运行（没有 {}）", path),
          fmt::format("the daemon hamletd is not running (there is no {})", path)};
}

Text nobody_listens(std::string_view path) {
  return {fmt::format("网关服务 hamletd 没有运行，上次可能异常退出（{} 没有程序应答）", path),
          fmt::format("the daemon hamletd is not running and may have crashed (nobody listens on {})", path)};
}

Text no_daemon(std::string_view path, std::string_view cause) {
  return {fmt::format("连不上网关服务 hamletd（{}：{}）", path, cause),
          fmt::format("cannot reach the daemon hamletd ({}: {})", path, cause)};
}

Text socket_denied(std::string_view path) {
  return {fmt::format("无权访问 {}；需要 hamlet 用户组或 root。请用 sudo，或由管理员执行 usermod -aG hamlet "
                      "用户名，然后重新登录",
                      path),
          fmt::format("no access to {}; it needs the group hamlet or root. Use sudo, or have an administrator run "
                      "usermod -aG hamlet USER, then log in again",
                      path)};
}

Text daemon_silent(std::string_view path) {
  return {fmt::format("网关服务 hamletd 在期限内没有应答（{}）", path),
          fmt::format("the daemon hamletd did not answer in time ({})", path)};
}

Text connection_lost(std::string_view path) {
  return {fmt::format("网关服务 hamletd 中断了连接（{}）", path),
          fmt::format("the daemon hamletd broke off the connection ({})", path)};
}

Text answer_not_understood(std::string_view path) {
  return {fmt::format("{} 的应答看不懂；hamlet 与 hamletd 的版本可能不一致", path),
          fmt::format("the answer of {} was not understood; hamlet and hamletd may be of different versions", path)};
}

}  // namespace hamlet::control::texts
