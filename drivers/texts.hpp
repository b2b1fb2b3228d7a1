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
inline Text no_frames(std::string_view driver) {
  return sentence("驱动“{}”没有原始报文可录", "driver '{}' has no raw frames to record", driver);
}
inline Text device_twice(std::string_view id) {
  return sentence("已有设备“{}”", "there is a device '{}' already", id);
}
inline Text modem_twice(std::string_view path) {
  return sentence("已有 sms 设备用“{}”；一个模块只写一个 [[device]]，各号码写成它的几个 [[device.output]]",
                  "there is an sms device on '{}' already; write one [[device]] a modem, with a [[device.output]] for each list of numbers",
                  path);
}

// Modbus.
inline Text no_order() {
  return sentence("单个寄存器的值没有字序；应为 \"ABCD\" 或 \"BADC\"（字节交换）",
                  "a value of one register has no word order; expected \"ABCD\" or \"BADC\" (bytes swapped)");
}
inline Text not_for_a_bit() {
  return sentence("对 bit 类型无意义", "has no meaning for a bit");
}
inline Text only_for(std::string_view type) {
  return sentence("没有 type = \"{}\" 时无意义", "has no meaning without type = \"{}\"", type);
}
inline Text not_for_a_text() {
  return sentence("对文本无意义", "has no meaning for a text");
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

inline Text bus_has_that() {
  return sentence("设备在总线上；总线的连接方式写在 [[bus]] 中",
                  "the device is on a bus; how to reach that is said in [[bus]]");
}
inline Text no_bus(std::string_view id) {
  return sentence("没有 id = \"{}\" 的 [[bus]]", "there is no [[bus]] with id = \"{}\"", id);
}
inline Text not_in_profile(std::string_view point) {
  return sentence("型号档案中没有测点“{}”", "the profile has no point '{}'", point);
}
inline Text no_profile(std::string_view id) {
  return sentence("没有型号档案“{}”", "there is no profile '{}'", id);
}
inline Text list_profiles(const Text& message) {
  return sentence("{}；用 hamlet probe modbus-rtu --profiles 查看所有型号档案",
                  "{}; 'hamlet probe modbus-rtu --profiles' lists them", message);
}
inline Text output_twice(std::string_view id) {
  return sentence("本设备已有输出“{}”", "there is an output '{}' in this device already", id);
}
inline Text output_type() {
  return sentence("输出须为数字：int16、uint16、int32 … float64",
                  "an output is a number: int16, uint16, int32, ... float64");
}
inline Text counter_type() {
  return sentence("应为 type = \"uint16\" 或 \"uint32\"：只有整数才会回绕",
                  "expected type = \"uint16\" or \"uint32\": only whole numbers wrap");
}

// Serial ports.
inline Text want_baud() {
  return sentence("应为 1200、2400、4800、9600、19200、38400、57600、115200、230400、460800 或 921600",
                  "expected 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800 or 921600");
}
inline Text want_format() {
  return sentence("应为数据位、校验（N、E、O）、停止位，如 \"8N1\" 或 \"8E1\"",
                  "expected data bits, parity (N, E, O) and stop bits, as \"8N1\" or \"8E1\"");
}
inline Text want_path() {
  return sentence("应为绝对路径，如 \"/dev/serial/by-id/usb-…\" 或 \"/dev/ttyS1\"",
                  "expected a path from the root, as \"/dev/serial/by-id/usb-...\" or \"/dev/ttyS1\"");
}

// Lines.
inline Text want_ip_or_path() {
  return sentence("应为 IP 地址，如 \"192.168.1.30\"，或写 path = \"/dev/…\"",
                  "expected an IP address, as \"192.168.1.30\", or path = \"/dev/...\"");
}
inline Text send_too_long() {
  return sentence("最多 256 字节", "expected 256 bytes at most");
}
inline Text want_patterns() {
  return sentence("应为 1 至 32 个模式，如 ['T=(?P<temperature>[-0-9.]+)C']",
                  "expected 1 to 32 patterns, as ['T=(?P<temperature>[-0-9.]+)C']");
}
inline Text bad_pattern(std::string_view pattern, std::string_view why) {
  return sentence("模式“{}”有误：{}", "'{}': {}", pattern, why);
}
inline Text no_group(std::string_view group) {
  return sentence("没有模式含有 (?P<{}>…)", "no pattern has a group (?P<{}>...)", group);
}
inline Text only_nmea() {
  return sentence("坐标只用于 protocol = \"nmea\"", "coordinates are of protocol = \"nmea\"");
}
inline Text want_valid() {
  return sentence("应为该字段有效时的值，如 [\"A\"]", "expected what the field then is, as [\"A\"]");
}

// The board.
inline Text want_name() {
  return sentence("应为一个名称，不含“/”", "expected one name, without '/'");
}
inline Text want_command() {
  return sentence("应为程序和参数，如 [\"/usr/bin/systemctl\", \"poweroff\"]；不经过 shell",
                  "expected program and arguments, as [\"/usr/bin/systemctl\", \"poweroff\"]; there is no shell");
}

// Local MQTT.
inline Text want_broker() {
  return sentence("应为 MQTT 服务器地址，如 \"mqtt://127.0.0.1:1883\"",
                  "expected a broker, as \"mqtt://127.0.0.1:1883\"");
}
inline Text want_topic() {
  return sentence("应为主题或主题的一级，不含 + 和 #", "expected a topic or a part of one, without + and #");
}
inline Text want_dev_eui() {
  return sentence("应为 16 位十六进制数，见设备标签", "expected 16 hex digits, as on the device's label");
}
inline Text want_full_topic() {
  return sentence("应为 Tasmota 的 FullTopic，如 \"%prefix%/%topic%/\"",
                  "expected Tasmota's FullTopic, as \"%prefix%/%topic%/\"");
}
inline Text want_pointer() {
  return sentence("应为 JSON 指针（RFC 6901），如 \"/object/temperature\"；\"\" 表示整个内容",
                  "expected a JSON pointer (RFC 6901), as \"/object/temperature\"; \"\" is the whole payload");
}

// Stations that come to us.
inline Text not_a_network(std::string_view text) {
  return sentence("“{}”既不是地址也不是网段；应如 \"10.8.0.5\" 或 \"10.8.0.0/16\"",
                  "'{}' is neither an address nor a network, as \"10.8.0.5\" or \"10.8.0.0/16\"", text);
}
inline Text want_one_way_in() {
  return sentence("tcp = \"0.0.0.0:9000\"、udp = \"0.0.0.0:9000\" 和 [device.serial] 须选其一",
                  "expected one of tcp = \"0.0.0.0:9000\", udp = \"0.0.0.0:9000\" and [device.serial]");
}
inline Text rts_not_for_stations() {
  return sentence("站点自己上报，适配器须自动换向（\"none\"）或由内核换向（\"kernel\"）",
                  "stations that speak by themselves need an adapter that turns round by itself (\"none\") or \"kernel\"");
}
inline Text want_listen_address() {
  return sentence("应为本机地址和端口，如 \"0.0.0.0:9000\" 或 \"[::]:9000\"",
                  "expected an address of this box and a port, as \"0.0.0.0:9000\" or \"[::]:9000\"");
}
inline Text want_allow() {
  return sentence("缺少 allow：可以代表该站上报的地址，如 [\"10.8.0.0/16\"]",
                  "allow is missing: the addresses that may speak for this station, as [\"10.8.0.0/16\"]");
}
inline Text want_element() {
  return sentence("应为 SL 651 附录 C 的要素符号，如 \"Z\"，或其十六进制标识符，如 \"39\"、\"FF01\"",
                  "expected a symbol of SL 651 appendix C, as \"Z\", or its hex identifier, as \"39\" or \"FF01\"");
}
inline Text want_station() {
  return sentence("应为水文测站的 8 位编码，或 6 位行政区划码加 5 位站号",
                  "expected the 8 digits of a hydrological station, or 6 of the division and 5 of the number");
}
inline Text want_hex_password() {
  return sentence("应为 4 位十六进制数字", "expected 4 hex digits");
}
inline Text no_history_of(std::string_view kind) {
  return sentence("“{}”不能补取；应为 \"minute\"、\"hour\" 或 \"day\"",
                  "'{}' cannot be asked for again; expected \"minute\", \"hour\" or \"day\"", kind);
}

// Actuators.
inline Text relay_no_point() {
  return sentence("还要有一个 [[device.point]]，如回读的线圈：这样才知道设备在不在",
                  "a [[device.point]] is missing, as the coil read back: it tells whether the device is there");
}
inline Text no_output() {
  return sentence("设备至少要有一个 [[device.output]]", "a device of this kind needs at least one [[device.output]]");
}
inline Text on_or_text() {
  return sentence("应写 on = […]（可加 off），或只写 text = […]（消息从标准输入读取）",
                  "expected on = [...], perhaps with off, or text = [...] alone, a program that reads the message");
}
inline Text want_file() {
  return sentence("应为录音文件的绝对路径，如 \"/etc/hamlet/sounds/flood.wav\"",
                  "expected a recording, by its whole path, as \"/etc/hamlet/sounds/flood.wav\"");
}
inline Text want_numbers(std::size_t most) {
  return sentence("应为 1 至 {} 个号码，如 [\"+8613800000000\"]", "expected 1 to {} numbers, as [\"+8613800000000\"]", most);
}
inline Text no_number(std::string_view text) {
  return sentence("“{}”不是电话号码；应如 \"+8613800000000\"", "'{}' is no telephone number, as \"+8613800000000\"", text);
}

}  // namespace hamlet::drivers::texts
