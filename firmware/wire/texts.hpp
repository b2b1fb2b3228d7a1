#pragma once

#include <string_view>

#include "firmware/core/sentence.hpp"

// Why there is no link, and what to do.
namespace hamlet::wire::texts {

inline Text name_hangs(std::string_view host, std::string_view within) {
  return sentence("查询域名 “{}” 在 {} 内没有应答：请检查 DNS 服务器", "look up \"{}\": no answer within {}: check the name server", host, within);
}
inline Text name_fails(std::string_view host, std::string_view why) {
  return sentence("查不到域名 “{0}”（{1}）：请检查 [uplink] broker 的写法和 DNS", "{1}: check broker in [uplink] and the name server", host, why);
}
inline Text no_answer(std::string_view address, std::string_view within) {
  return sentence("连接 {} 在 {} 内没有应答：请检查网络、SIM 卡流量和防火墙", "connect to {}: no answer within {}: check the network, the SIM card's data and firewalls",
                  address, within);
}
inline Text not_reached(std::string_view address, std::string_view why) {
  return sentence("连不上 {}：{}：请检查网络和端口", "connect to {}: {}: check network and port", address, why);
}
inline Text closed(std::string_view address) {
  return sentence("{} 没有应答就关闭了连接：可能不是 MQTT 服务器，或端口不对", "connect to {}: the broker closed the connection without an answer", address);
}
inline Text bad_login(std::string_view address) {
  return sentence("{} 拒绝登录：请检查 [uplink] 中的 user、password 和证书，并请县里核对本机的账号",
                  "connect to {}: the broker refuses this login: check user and password in [uplink], and the certificate; ask the county whether it knows this box",
                  address);
}
inline Text refused(std::string_view address, std::string_view reason) {
  return sentence("{} 拒绝连接：{}", "connect to {}: the broker refuses: {}", address, reason);
}
inline Text lost(std::string_view address) {
  return sentence("与 {} 的连接断开", "the connection to {} is lost", address);
}
inline Text lost(std::string_view address, std::string_view reason) {
  return sentence("与 {} 的连接断开：服务器说 {}", "the connection to {} is lost: the broker says {}", address, reason);
}
inline Text taken_over(std::string_view address) {
  return sentence("{} 说另有连接用了本机的名字：请检查是否有另一台网关的 [gateway] id 或 [uplink] client_id 与本机相同",
                  "{} says that somebody else has connected by this box's name: look for another box with the same [gateway] id, or client_id in [uplink]", address);
}
inline Text no_subscription(std::string_view topic) {
  return sentence("服务器不允许订阅 {}：请县里检查本机的权限 (ACL)", "the broker refuses the subscription to {}: check its access rules for this box", topic);
}
inline Text portal(std::string_view address) {
  return sentence("{} 上应答的是网页而不是 MQTT：网络要求先登录网页（热点认证），或端口不对",
                  "a web server answers at {}: the network wants a login by web page (a captive portal), or the port is wrong", address);
}
inline Text cert_expired(std::string_view host, std::string_view when, std::string_view now) {
  return sentence("{} 的证书已于 {} 过期（本机时钟 {}）：时钟若正确，请县里更换证书", "the certificate of {} expired on {} (this box's clock: {}): if the clock is right, the county must renew it",
                  host, when, now);
}
inline Text cert_not_yet(std::string_view host, std::string_view when, std::string_view now) {
  return sentence("{} 的证书 {} 才生效，而本机时钟为 {}：多半是本机时钟不准，请校时", "the certificate of {} is valid from {}, and this box's clock says {}: most likely the clock is wrong: set it",
                  host, when, now);
}
inline Text cert_name(std::string_view host) {
  return sentence("对方的证书不是 {} 的：地址写错，或连接被截取", "the certificate is not one of {}: the address is wrong, or somebody sits in between", host);
}
inline Text cert_untrusted(std::string_view host, std::string_view why) {
  return sentence("不信任 {} 的证书（{}）：请检查 [uplink] ca", "the certificate of {} is not trusted ({}): check ca in [uplink]", host, why);
}
inline Text own_cert_expired(std::string_view file, std::string_view when) {
  return sentence("本机证书 {} 已于 {} 过期：请县里签发新证书", "this box's certificate {} expired on {}: the county must issue a new one", file, when);
}
inline Text own_cert_refused(std::string_view address) {
  return sentence("{} 不接受本机的证书：请检查 [uplink] cert 和 key", "{} does not accept this box's certificate: check cert and key in [uplink]", address);
}
inline Text tls_failed(std::string_view address, std::string_view why) {
  return sentence("与 {} 的 TLS 握手失败：{}", "TLS with {} fails: {}", address, why);
}
inline Text file_unusable(std::string_view what, std::string_view file) {
  return sentence("[uplink] {} 的文件 {} 读不了或不是 PEM：请检查文件和权限", "[uplink] {}: {} cannot be read or is no PEM file: check the file and its permissions", what, file);
}

}  // namespace hamlet::wire::texts
