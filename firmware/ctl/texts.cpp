#include "firmware/ctl/texts.hpp"

#include <algorithm>
#include <array>

namespace hamlet::ctl {
namespace {

constexpr auto kCatalogue = std::to_array<Entry>({
    // help
    {Say::about, "查看和操作村级网关。", "Look at and work on a village gateway."},
    {Say::help_footer,
     "常用：\n"
     "  hamlet status                         是否正常，哪里有问题\n"
     "  hamlet readings river.level --since 2h  某测点最近两小时的数据\n"
     "  hamlet alarms ack river-level-high    确认告警\n"
     "退出码：0 成功，1 失败，2 用法错误，3 服务没有运行，4 有问题（降级），5 无权限\n"
     "详见：man hamlet",
     "Often used:\n"
     "  hamlet status                         does it work, what is broken\n"
     "  hamlet readings river.level --since 2h  the last two hours of a point\n"
     "  hamlet alarms ack river-level-high    acknowledge an alarm\n"
     "Exit codes: 0 ok, 1 failed, 2 usage, 3 daemon not running, 4 degraded, 5 not permitted\n"
     "More: man hamlet"},
    {Say::verb_footer, "--json、--lang 等通用选项：hamlet --help；详见：man hamlet",
     "Options of every command (--json, --lang …): hamlet --help. More: man hamlet"},
    {Say::usage, "用法", "Usage"},
    {Say::options, "选项", "Options"},
    {Say::verbs, "命令", "Commands"},
    {Say::arguments, "参数", "Arguments"},
    {Say::required, "必填", "required"},
    {Say::global_options, "通用选项", "Options of every command"},
    {Say::opt_help, "显示帮助", "Show this help"},
    {Say::opt_version, "显示版本", "Show the version"},
    {Say::opt_socket, "网关服务的套接字", "Socket of the daemon"},
    {Say::opt_config, "配置文件", "Config file"},
    {Say::opt_json, "输出一行 JSON，供程序使用", "Print one line of JSON, for programs"},
    {Say::opt_lang, "界面语言（默认取自 HAMLET_LANG、LC_ALL、LC_MESSAGES、LANG）",
     "Language (by default from HAMLET_LANG, LC_ALL, LC_MESSAGES, LANG)"},
    {Say::opt_since, "多久以来，如 30min、2h、7d", "How far back, as 30min, 2h, 7d"},
    {Say::opt_limit, "最多显示最新的多少条", "At most so many, the newest"},
    {Say::opt_source, "只看这个设备、摄像机或 gateway", "Only of this device, camera or \"gateway\""},
    {Say::opt_occurrence, "只确认这一次发生", "Acknowledge this occurrence only"},
    {Say::meta_path, "路径", "PATH"},
    {Say::meta_file, "文件", "FILE"},
    {Say::meta_duration, "时长", "DURATION"},
    {Say::meta_number, "数量", "N"},
    {Say::meta_id, "编号", "ID"},
    {Say::meta_lang, "zh|en", "zh|en"},
    {Say::meta_options, "选项", "OPTIONS"},
    {Say::meta_verb, "命令", "COMMAND"},
    {Say::default_value, "默认 {0}", "default {0}"},
    {Say::verb_status, "是否正常，哪里有问题", "Does it work, what is broken"},
    {Say::verb_points, "所有测点的当前值", "Every point as it stands now"},
    {Say::verb_readings, "一个测点的历史数据", "What a point has read"},
    {Say::verb_events, "发生过的事件", "What has happened"},
    {Say::verb_alarms, "告警：查看、确认", "Alarms: list, acknowledge"},
    {Say::verb_alarms_list, "需要处理的告警", "Alarms that call for somebody"},
    {Say::verb_alarms_ack, "确认告警（需要 hamlet-admin 用户组）", "Acknowledge an alarm (group hamlet-admin)"},
    {Say::verb_cameras, "摄像机是否正常", "How the cameras do"},
    {Say::verb_journal, "日志库：还有多少没有上传", "The journal: how much is not sent yet"},
    {Say::verb_uplink, "与县平台的连接", "The link to the county"},
    {Say::verb_config, "检查配置", "Check the config"},
    {Say::verb_config_check, "检查配置文件，列出所有错误", "Check a config file and list every error"},
    {Say::verb_probe, "不用配置，直接试设备、看报文", "Talk to a device or read its frames, without the config"},
    {Say::verb_probe_decode, "逐项解读标准输入里的报文，每行一条", "Decode frames from stdin, one a line, field by field"},
    {Say::verb_probe_rtu, "试串口上的 Modbus 设备", "Talk to Modbus devices on a serial port"},
    {Say::verb_probe_tcp, "试网络上的 Modbus 设备", "Talk to a Modbus device by TCP"},
    {Say::arg_point, "测点，如 river.level", "Point, as river.level"},
    {Say::arg_alarm, "告警编号，如 river-level-high", "Alarm, as river-level-high"},
    {Say::arg_file, "配置文件（默认见 --config）", "Config file (by default that of --config)"},
    {Say::arg_protocol, "sl651 或 hj212", "sl651 or hj212"},
    {Say::arg_serial, "串口，如 /dev/ttyUSB0", "Serial port, as /dev/ttyUSB0"},
    {Say::arg_ip, "IP 地址", "IP address"},
    {Say::opt_baud, "波特率", "Baud rate"},
    {Say::opt_format, "数据位、校验、停止位", "Data bits, parity, stop bits"},
    {Say::opt_port, "端口", "Port"},
    {Say::opt_scan, "逐个地址 1 到 247 查找设备", "Look for devices at the addresses 1 to 247"},
    {Say::opt_profile, "设备型号档案，见 --profiles", "Profile of the device; --profiles lists them"},
    {Say::opt_address, "设备地址（默认取自档案）", "Address of the device (by default the profile's)"},
    {Say::opt_timeout, "等待应答多久", "How long to wait for an answer"},
    {Say::opt_profiles, "列出所有型号档案", "List all profiles"},
    {Say::probe_request, "发 {0}  地址 {1}，功能码 {2}，起始 {3}，数量 {4}",
     "sent {0}  unit {1}, function {2}, from {3}, count {4}"},
    {Say::probe_write, "发 {0}  地址 {1}，功能码 {2}", "sent {0}  unit {1}, function {2}"},
    {Say::probe_answer, "收 {0}  地址 {1}，功能码 {2}，字节数 {3}，数据 {4}",
     "got  {0}  unit {1}, function {2}, {3} bytes: {4}"},
    {Say::probe_exception, "收 {0}  地址 {1}，功能码 {2}，异常码 {3}", "got  {0}  unit {1}, function {2}, exception {3}"},
    {Say::probe_bytes, "收 {0}  （不完整的应答）", "got  {0}  (no whole answer)"},
    {Say::probe_scanning, "正在查找：{0}，地址 1 到 247，约需 {1} 秒", "looking: {0}, addresses 1 to 247, about {1} s"},
    {Say::probe_found, "地址 {0} 有设备应答", "a device answers at address {0}"},
    {Say::probe_nobody, "没有设备应答。检查供电、A/B 线是否接反、波特率（试 --baud 4800、2400、19200）和校验（--format 8E1）",
     "no device answers; check power, whether A and B are swapped, the baud rate (try --baud 4800, 2400, 19200) and the "
     "parity (--format 8E1)"},
    {Say::probe_paste, "把下面几行加进 /etc/hamlet/hamlet.toml：", "add these lines to /etc/hamlet/hamlet.toml:"},
    {Say::probe_points, "测点", "Point"},
    {Say::probe_no_profile, "请给出 --scan 或 --profile 型号；用 --profiles 列出型号",
     "give --scan or --profile NAME; --profiles lists them"},
    {Say::probe_no_device, "请给出串口或 IP 地址，如 /dev/ttyUSB0、192.168.1.20",
     "give the serial port or IP address, as /dev/ttyUSB0 or 192.168.1.20"},
    {Say::probe_not_verified, "这份档案没有用真机核对过，请对照说明书检查读数（来源：{0}）",
     "this profile was never held against the device itself: compare the values with its manual (source: {0})"},

    // usage errors
    {Say::usage_error, "用法错误：{0}", "usage: {0}"},
    {Say::verb_missing, "缺少命令", "a command is missing"},
    {Say::argument_missing, "缺少参数 {0}", "the argument {0} is missing"},
    {Say::unexpected_argument, "不认识“{0}”", "'{0}' was not expected"},
    {Say::did_you_mean, "；您是否想用“{0}”？", "; did you mean '{0}'?"},
    {Say::value_missing, "{0} 后面缺少值", "{0} needs a value"},
    {Say::not_a_duration, "“{0}”不是时长；请写数字加单位，如 30s、10min、2h、7d",
     "'{0}' is not a duration; write a number and a unit, as 30s, 10min, 2h, 7d"},
    {Say::not_a_number, "“{0}”不是 {1} 到 {2} 的整数", "'{0}' is not a whole number from {1} to {2}"},
    {Say::not_an_id, "“{0}”不是编号；编号由 1 到 32 个小写字母、数字和“-”组成",
     "'{0}' is not an id: 1 to 32 of a-z, 0-9 and '-'"},
    {Say::not_a_point, "“{0}”不是测点；测点写作 设备.测点，如 river.level；用 hamlet points 查看所有测点",
     "'{0}' is not a point; write device.point, as river.level; 'hamlet points' lists them"},
    {Say::not_a_lang, "“{0}”不是 zh 或 en", "'{0}' is neither zh nor en"},
    {Say::not_a_protocol, "“{0}”不是 sl651 或 hj212", "'{0}' is neither sl651 nor hj212"},
    {Say::see_help, "用 {0} --help 查看帮助", "see {0} --help"},

    // failures
    {Say::error_line, "hamlet：{0}", "hamlet: {0}"},
    {Say::advice_daemon_down, "请检查服务：systemctl status hamletd；查看原因：journalctl -u hamletd -n 50",
     "look at the service: systemctl status hamletd; for the reason: journalctl -u hamletd -n 50"},
    {Say::offline_note, "以下是日志库 {0} 中最后一次提交的数据，不是当前状态。",
     "what follows is the journal in {0} as of its last commit, not the present state."},
    {Say::offline_failed, "日志库也读不出来：{0}", "the journal cannot be read either: {0}"},
    {Say::no_permission_file, "无权读取 {0}；请用 sudo", "no permission to read {0}; use sudo"},
    {Say::clock_note, "带 ? 的时间不准：当时网关还没有校时。",
     "times with a ? are not certain: the clock had not been set then."},
    {Say::journal_absent, "{0} 中没有日志库；请用 --config 指定正确的配置文件（gateway.state_dir）",
     "there is no journal in {0}; name the right config file with --config (gateway.state_dir)"},
    {Say::journal_denied, "无权读取 {0} 中的日志库；请用 sudo，或加入 hamlet 用户组",
     "no permission to read the journal in {0}; use sudo or join the group hamlet"},

    // headings and labels
    {Say::gateway, "网关", "Gateway"},
    {Say::state, "状态", "State"},
    {Say::version, "版本", "Version"},
    {Say::uptime, "已运行", "Up for"},
    {Say::time, "时间", "Time"},
    {Say::devices, "设备", "Devices"},
    {Say::cameras, "摄像机", "Cameras"},
    {Say::alarms, "告警", "Alarms"},
    {Say::uplink, "上行", "Uplink"},
    {Say::journal, "日志库", "Journal"},
    {Say::point, "测点", "Point"},
    {Say::name, "名称", "Name"},
    {Say::value, "值", "Value"},
    {Say::unit, "单位", "Unit"},
    {Say::quality, "质量", "Quality"},
    {Say::reason, "原因", "Reason"},
    {Say::age, "多久前", "Age"},
    {Say::source, "来源", "Source"},
    {Say::event, "事件", "Event"},
    {Say::phase, "阶段", "Phase"},
    {Say::detail, "详情", "Detail"},
    {Say::severity, "级别", "Severity"},
    {Say::alarm, "告警编号", "Alarm"},
    {Say::since, "始于", "Since"},
    {Say::limit, "限值", "Limit"},
    {Say::text, "说明", "Text"},
    {Say::occurrence, "第几次", "No."},
    {Say::camera, "摄像机", "Camera"},
    {Say::picture_rate, "帧/秒", "fps"},
    {Say::frames, "帧数", "Frames"},
    {Say::zones, "区域", "Zones"},
    {Say::last_event, "最近事件", "Last event"},
    {Say::analysis, "视频分析进程", "Analysis process"},
    {Say::epoch, "纪元号", "Epoch"},
    {Say::boot, "启动次数", "Boot"},
    {Say::window, "提交间隔", "Commit window"},
    {Say::file_size, "数据占用", "Data on disk"},
    {Say::media_size, "图片占用", "Pictures on disk"},
    {Say::failure, "故障", "Failure"},
    {Say::lane, "类别", "Lane"},
    {Say::first, "最早编号", "First"},
    {Say::last, "最新编号", "Last"},
    {Say::waiting, "待写入", "Waiting"},
    {Say::unsent, "待上传", "Unsent"},
    {Say::broker, "平台地址", "Broker"},
    {Say::protocol, "协议", "Protocol"},
    {Say::last_error, "最近错误", "Last error"},
    {Say::inflight, "发送中", "In flight"},
    {Say::reconnects, "重连次数", "Reconnects"},
    {Say::no_subscriber, "无人订阅", "Without subscriber"},
    {Say::sent, "已上传到", "Sent up to"},
    {Say::pending, "待上传", "Pending"},
    {Say::problems, "问题", "Problems"},

    // values
    {Say::up_down, "{0} 个在线，{1} 个掉线", "{0} up, {1} down"},
    {Say::alarm_counts, "{0} 条需要处理，其中 {1} 条未确认", "{0} active, {1} not acknowledged"},
    {Say::uplink_at, "{0}  {1}", "{0}  {1}"},
    {Say::journal_counts, "{0} 条待上传，{1} 条待写入，占用 {2}", "{0} unsent, {1} waiting, {2} on disk"},
    {Say::restarts, "{0}，重启过 {1} 次", "{0}, restarted {1} times"},
    {Say::yes, "是", "yes"},
    {Say::no, "否", "no"},
    {Say::none, "-", "-"},
    {Say::seconds_ago, "{0} 秒前", "{0} s ago"},
    {Say::minutes_ago, "{0} 分钟前", "{0} min ago"},
    {Say::hours_ago, "{0} 小时前", "{0} h ago"},
    {Say::days_ago, "{0} 天前", "{0} d ago"},
    {Say::in_future, "在将来", "in the future"},
    {Say::span_seconds, "{0} 秒", "{0} s"},
    {Say::span_minutes, "{0} 分钟", "{0} min"},
    {Say::span_hours, "{0} 小时 {1} 分钟", "{0} h {1} min"},
    {Say::span_days, "{0} 天 {1} 小时", "{0} d {1} h"},

    // what there is nothing of, and what to do next
    {Say::no_points, "没有测点：配置里没有设备。请在 {0} 中添加 [[device]]，再用 hamlet config check 检查。",
     "No points: the config has no device. Add a [[device]] to {0}, then run hamlet config check."},
    {Say::no_readings,
     "最近 {1} 内没有 {0} 的数据。可加长时间（--since 7d）；用 hamlet points 看测点名是否正确、设备是否在线。",
     "No readings of {0} in the last {1}. Look further back (--since 7d), or see with hamlet points whether the name "
     "is "
     "right and the device is up."},
    {Say::no_events, "最近 {0} 内没有事件。这通常是好事；可加长时间（--since 7d）。",
     "No events in the last {0}. That is usually good; look further back with --since 7d."},
    {Say::no_alarms_defined, "配置里没有告警。需要时在 {0} 中添加 [[alarm]]。",
     "The config has no alarms. Where some are wanted, add [[alarm]] to {0}."},
    {Say::no_active_alarms, "没有需要处理的告警（共 {0} 条，全部正常）。",
     "No alarm calls for anybody ({0} defined, all normal)."},
    {Say::more_alarms_normal, "另有 {0} 条告警正常。", "{0} more alarms are normal."},
    {Say::no_cameras, "配置里没有摄像机。需要时在 {0} 中添加 [[camera]]。",
     "The config has no cameras. Where some are wanted, add [[camera]] to {0}."},
    {Say::readings_cut, "只显示最新的 {0} 条；更多请加 --limit。",
     "Only the newest {0} are shown; for more use --limit."},
    {Say::events_cut, "只显示最新的 {0} 条；更多请加 --limit。",
     "Only the newest {0} are shown; for more use --limit."},
    {Say::next_steps, "下一步：", "Next:"},
    {Say::next_points, "hamlet points    哪个设备掉线、为什么；检查供电、接线和地址",
     "hamlet points    which device is down and why; check power, wiring and address"},
    {Say::next_alarms, "hamlet alarms    哪些告警要处理", "hamlet alarms    which alarms call for somebody"},
    {Say::next_cameras, "hamlet cameras   哪台摄像机掉线、为什么；检查供电、网线和密码",
     "hamlet cameras   which camera is down and why; check power, cable and password"},
    {Say::next_uplink, "hamlet uplink    为什么连不上县平台；数据已存在本机，恢复后自动补传",
     "hamlet uplink    why the county is not reached; data is kept here and sent once the link is back"},
    {Say::next_journal, "hamlet journal   磁盘为什么写不进去", "hamlet journal   why the disk does not take data"},
    {Say::next_ack, "确认告警：hamlet alarms ack {0}", "to acknowledge: hamlet alarms ack {0}"},
    {Say::acked_done, "已确认 {0}（第 {1} 次）", "acknowledged {0} (occurrence {1})"},
    {Say::uplink_off, "没有配置上行：数据只存在本机。需要上传时在 {0} 中添加 [uplink]。",
     "No uplink is configured: data stays on this box. To send it, add [uplink] to {0}."},
    {Say::journal_failing, "磁盘写不进去：请检查空间（df -h）和 journalctl -u hamletd；恢复后自动继续。",
     "The disk does not take data: look at its space (df -h) and at journalctl -u hamletd; it goes on by itself once "
     "it "
     "does."},

    // config check
    {Say::config_ok, "{0}：没有错误。生效请执行：sudo systemctl reload hamletd",
     "{0}: no errors. To put it into effect: sudo systemctl reload hamletd"},
    {Say::config_bad, "{0}：{1} 处错误；改好之前不会生效。",
     "{0}: errors: {1}. It takes no effect until they are mended."},
});
static_assert(kCatalogue.size() == static_cast<std::size_t>(Say::count_), "a text is missing, or one too many");

constexpr bool in_order() {
  for (std::size_t i = 0; i < kCatalogue.size(); ++i) {
    if (static_cast<std::size_t>(kCatalogue.at(i).id) != i) return false;
  }
  return true;
}
static_assert(in_order(), "the catalogue is in the order of Say");

constexpr auto kVocabulary = std::to_array<Word>({
    {Kind::severity, "critical", "特急", "critical"},
    {Kind::severity, "major", "重要", "major"},
    {Kind::severity, "minor", "次要", "minor"},
    {Kind::severity, "warning", "提示", "warning"},

    {Kind::alarm_state, "normal", "正常", "normal"},
    {Kind::alarm_state, "unacked", "未确认", "not acknowledged"},
    {Kind::alarm_state, "acked", "已确认", "acknowledged"},
    {Kind::alarm_state, "returned", "已恢复，未确认", "back to normal, not acknowledged"},
    {Kind::alarm_state, "shelved", "暂时搁置", "shelved"},
    {Kind::alarm_state, "suppressed", "已抑制", "suppressed"},
    {Kind::alarm_state, "out-of-service", "停用", "out of service"},

    {Kind::event, "motion", "画面有动静", "motion"},
    {Kind::event, "intrusion", "有人闯入", "intrusion"},
    {Kind::event, "down", "掉线", "down"},
    {Kind::event, "up", "恢复在线", "up again"},
    {Kind::event, "gap", "数据缺失", "records given up"},
    {Kind::event, "quality", "质量更正", "quality corrected"},
    {Kind::event, "time", "时钟变化", "clock changed"},
    {Kind::event, "command", "执行命令", "command"},
    {Kind::event, "operator", "人工操作", "operator"},
    {Kind::event, "start", "启动", "started"},
    {Kind::event, "stop", "停止", "stopped"},
    {Kind::event, "config", "配置变化", "config changed"},
    {Kind::event, "reload", "重新加载配置", "config reloaded"},
    {Kind::event, "disk", "磁盘故障", "disk failing"},
    {Kind::event, "eyes", "视频分析中断", "analysis down"},

    {Kind::phase, "start", "开始", "start"},
    {Kind::phase, "update", "持续", "update"},
    {Kind::phase, "end", "结束", "end"},
    {Kind::phase, "once", "", ""},

    {Kind::quality, "good", "好", "good"},
    {Kind::quality, "suspect", "可疑", "suspect"},
    {Kind::quality, "bad", "坏", "bad"},
    {Kind::quality, "missing", "缺失", "missing"},

    {Kind::why, "device-down", "设备掉线", "device down"},
    {Kind::why, "gap", "长时间没有数据", "silent too long"},
    {Kind::why, "range", "超出量程", "out of range"},
    {Kind::why, "gross-range", "超出量程", "out of range"},
    {Kind::why, "rate-of-change", "变化过快", "changes too fast"},
    {Kind::why, "flat-line", "长时间不变，传感器可能卡住", "does not change, sensor may be stuck"},
    {Kind::why, "not-finite", "不是有效数字", "not a finite number"},
    {Kind::why, "not-a-number", "设备报告无效值", "device reports no value"},
    {Kind::why, "illegal-address", "地址不对，检查 address 和 base", "no such address, check address and base"},
    {Kind::why, "illegal-function", "设备不支持，检查 function", "not supported, check function"},
    {Kind::why, "illegal-value", "设备拒绝，检查 address 和 type", "refused, check address and type"},
    {Kind::why, "device-failure", "设备内部故障", "device failure"},
    {Kind::why, "device-busy", "设备忙", "device is busy"},
    {Kind::why, "memory-parity", "设备存储故障", "device memory error"},
    {Kind::why, "exception", "设备报告异常", "device reports an exception"},
    {Kind::why, "invalid-raw", "传感器报告无效值", "sensor reports no value"},
    {Kind::why, "closed", "设备关闭了连接", "device closed the connection"},
    {Kind::why, "bad-answer", "应答不对，可能有别的主站共用", "wrong answer, another master may share the device"},
    {Kind::why, "gateway-path", "串口网关到设备不通", "no path behind the gateway"},
    {Kind::why, "gateway-target", "串口网关后的设备没有应答", "no answer behind the gateway"},
    {Kind::why, "no-file", "文件读不到", "file cannot be read"},
    {Kind::why, "end-of-data", "记录已放完", "recording has ended"},
    {Kind::why, "no-reading-yet", "还没有读数", "no reading yet"},
    {Kind::why, "disabled", "已停用", "disabled"},
    {Kind::why, "late", "迟到的数据", "came late"},
    {Kind::why, "timeout", "超时没有应答", "no answer in time"},
    {Kind::why, "refused", "被拒绝（检查地址、用户名和密码）", "refused (check address, user and password)"},
    {Kind::why, "unreachable", "网络不通", "unreachable"},
    {Kind::why, "not-found", "找不到", "not found"},
    {Kind::why, "no-video", "没有视频流", "no video"},
    {Kind::why, "corrupt", "数据损坏", "corrupt"},
    {Kind::why, "failed", "失败", "failed"},
    {Kind::why, "ended", "播放完毕", "played to its end"},
    {Kind::why, "stopped", "已停止", "stopped"},
    {Kind::why, "zone-outside", "区域在画面之外", "a zone is outside the picture"},
    {Kind::why, "camera-lost", "摄像机掉线", "camera lost"},
    {Kind::why, "eyes-lost", "视频分析中断", "analysis lost"},
    {Kind::why, "disk-full", "磁盘已满", "disk full"},

    {Kind::uplink, "online", "已连接", "online"},
    {Kind::uplink, "connecting", "正在连接", "connecting"},
    {Kind::uplink, "offline", "未连接", "offline"},
    {Kind::uplink, "off", "未启用", "off"},

    {Kind::camera, "up", "在线", "up"},
    {Kind::camera, "down", "掉线", "down"},
    {Kind::camera, "starting", "正在启动", "starting"},
    {Kind::camera, "lost", "没有运行，正在重启", "not running, being restarted"},
    {Kind::camera, "off", "未启用", "off"},

    {Kind::health, "ok", "正常", "ok"},
    {Kind::health, "degraded", "有问题", "degraded"},

    {Kind::time_quality, "synced", "已校时", "clock is set"},
    {Kind::time_quality, "holdover", "曾校时，现自走", "clock was set, now runs on its own"},
    {Kind::time_quality, "unsynced", "未校时，时间不准；请检查网络或 chrony",
     "clock is not set, times are not certain; check the network or chrony"},
    {Kind::time_quality, "repaired", "事后校正", "dated after the fact"},

    {Kind::lane, "alarm", "告警", "alarm"},
    {Kind::lane, "event", "事件", "event"},
    {Kind::lane, "tele", "测量数据", "tele"},
    {Kind::lane, "media", "图片", "media"},

    {Kind::detail, "zone", "区域", "zone"},
    {Kind::detail, "why", "原因", "why"},
    {Kind::detail, "detail", "说明", "detail"},
    {Kind::detail, "duration_ms", "持续毫秒", "duration_ms"},
    {Kind::detail, "area", "面积比例", "area"},
    {Kind::detail, "frames", "帧数", "frames"},
    {Kind::detail, "lane", "类别", "lane"},
    {Kind::detail, "from", "从", "from"},
    {Kind::detail, "to", "到", "to"},
    {Kind::detail, "count", "数量", "count"},
    {Kind::detail, "reason", "原因", "reason"},
    {Kind::detail, "verb", "命令", "verb"},
    {Kind::detail, "caller", "操作人", "caller"},
    {Kind::detail, "by", "操作人", "by"},
    {Kind::detail, "alarm", "告警", "alarm"},
    {Kind::detail, "occurrence", "第几次", "occurrence"},
    {Kind::detail, "point", "测点", "point"},
    {Kind::detail, "version", "版本", "version"},
});

}  // namespace

std::span<const Entry> catalogue() {
  return kCatalogue;
}

std::string_view phrase(Lang lang, Say id) {
  const auto& entry = kCatalogue.at(static_cast<std::size_t>(id));
  return lang == Lang::zh ? entry.zh : entry.en;
}

std::span<const Word> vocabulary() {
  return kVocabulary;
}

std::string word(Lang lang, Kind kind, std::string_view code) {
  const auto found = std::find_if(kVocabulary.begin(), kVocabulary.end(),
                                  [&](const Word& known) { return known.kind == kind && known.code == code; });
  if (found == kVocabulary.end()) return std::string{code};
  return std::string{lang == Lang::zh ? found->zh : found->en};
}

}  // namespace hamlet::ctl
