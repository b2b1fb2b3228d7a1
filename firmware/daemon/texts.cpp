#include "firmware/daemon/texts.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace hamlet::daemon::texts {
namespace {

// About a camera that is down: see cameras::CameraState.
Text what_to_do(std::string_view why) {
  if (why == "refused") return {"检查用户名、密码和 source 里的路径；改正前每 10 分钟才重试一次", "check user, password and the path in source; it is tried again each 10 minutes only"};
  if (why == "not-found" || why == "no-video" || why == "corrupt") return {"检查配置里的 source：路径、设备或视频流", "check source in the config: path, device or stream"};
  if (why == "denied") {
    return {"用户 hamlet-eyes 须能读该文件或设备；内网以外的地址须在 hamlet-eyes.service 里放行（IPAddressAllow）",
            "the user hamlet-eyes has to be able to read that file or device; an address outside private networks has to be let through in hamlet-eyes.service (IPAddressAllow)"};
  }
  if (why == "exception") {
    return {"可能同时看的人太多，或它不支持 TCP（写 transport = \"udp\"）；也可重启摄像机",
            "too many may watch it, or it may know no TCP (transport = \"udp\"); or restart it"};
  }
  if (why == "ended") return {"文件已播放完；要循环播放，写 loop = true", "the file was played to its end; to play it again and again, loop = true"};
  if (why == "disabled") return {"配置里已停用（enabled = false）", "it is switched off in the config (enabled = false)"};
  if (why == "starting" || why == "eyes-lost") return {"等几秒再试", "try again in some seconds"};
  return {"检查供电、网线和地址", "check its power, cable and address"};
}

}  // namespace

Text device_down(std::string_view device, std::string_view why) {
  return {fmt::format("设备 {} 没有应答（{}）：检查供电、接线和地址", device, why),
          fmt::format("device {} does not answer ({}): check its power, wiring and address", device, why)};
}

Text output_fails(std::string_view output, std::string_view why) {
  return {fmt::format("输出 {} 无法动作（{}）：检查设备供电和接线", output, why),
          fmt::format("the output {} cannot be set ({}): check its device's power and wiring", output, why)};
}

Text camera_down(std::string_view camera, std::string_view why) {
  const auto now = what_to_do(why);
  return {fmt::format("摄像机 {} 没有画面（{}）：{}", camera, why, now.zh), fmt::format("camera {} gives no picture ({}): {}", camera, why, now.en)};
}

Text camera_misfit(std::string_view camera, std::string_view why) {
  const bool mask = why == "mask-outside";
  return {fmt::format("摄像机 {} 的{}超出画面，位置不对：把 drawn_on 设为绘制时画面的宽和高，或重新绘制", camera, mask ? "遮挡区" : "区域"),
          fmt::format("a {} of camera {} goes beyond its picture and is not where it was drawn: set drawn_on to the size of the picture that it was drawn on, or draw it again",
                      mask ? "mask" : "zone", camera)};
}

Text eyes_lost() {
  return {"视频分析进程没有运行，正在重新启动：查看 journalctl -u hamlet-eyes",
          "the video process is not running and is being restarted: see journalctl -u hamlet-eyes"};
}

Text pictures_lost() {
  return {"摄像机的图片存不下来，县里只有缩略图：检查剩余空间、存储卡和 media 目录的权限",
          "pictures of cameras cannot be stored, the county has thumbnails alone: check free space, the card, and who may write to the folder media"};
}

Text journal_fails(std::string_view why) {
  return {fmt::format("数据无法写入磁盘（{}）：检查剩余空间和存储卡", why),
          fmt::format("data cannot be written to disk ({}): check free space and the card", why)};
}

Text uplink_away(std::string_view broker, const Text& why) {
  return {fmt::format("与县平台 {} 没有连接（{}）：数据已保存，连接恢复后自动补传", broker, why.zh),
          fmt::format("no link to the county at {} ({}): data is kept and sent when the link is back", broker, why.en)};
}

Text clock_unset(const std::vector<std::string>& waiting) {
  Text out{"时钟尚未校准：数据照常保存，校准后自动补上时间", "the clock has not been set: data is kept and dated once it is"};
  if (waiting.empty()) return out;
  out.zh += fmt::format("；按时段或季节的报警要等校准后才能完整判断：{}", fmt::join(waiting, "、"));
  out.en += fmt::format("; alarms by hour or season cannot be judged in full before that: {}", fmt::join(waiting, ", "));
  return out;
}

Text unknown_point(std::string_view point, std::string_view nearest) {
  if (nearest.empty()) return {fmt::format("没有测点 {}", point), fmt::format("there is no point {}", point)};
  return {fmt::format("没有测点 {}，是否指 {}？", point, nearest),
          fmt::format("there is no point {}; did you mean {}?", point, nearest)};
}

Text unknown_camera(std::string_view camera) {
  return {fmt::format("没有摄像机 {}：用 hamlet cameras 查看", camera),
          fmt::format("there is no camera {}: see hamlet cameras", camera)};
}

Text camera_shows_nothing(std::string_view camera) {
  return {fmt::format("摄像机 {} 配置为不留图片（evidence = \"none\"）", camera),
          fmt::format("camera {} is configured to give no pictures (evidence = \"none\")", camera)};
}

Text snapshot_late(std::string_view camera) {
  return {fmt::format("摄像机 {} 没有及时给出画面：请再试一次", camera),
          fmt::format("camera {} gave no picture in time: try again", camera)};
}

Text unknown_picture(std::string_view name) {
  return {fmt::format("没有图片 {}：可能已按容量或期限删除；用 hamlet media list 查看", name),
          fmt::format("there is no picture {}: it may have been deleted by budget or age; see hamlet media list", name)};
}

Text no_picture_name(std::string_view name) {
  return {fmt::format("“{}”不是图片名；形如 9f2c41d07be1a655-12", name),
          fmt::format("\"{}\" is no picture's name; one looks like 9f2c41d07be1a655-12", name)};
}

Text disk_is_busy() {
  return {"存储卡太慢，任务已排满：请稍后再试", "the disk is slow and too much waits for it: try again later"};
}

Text pictures_fail(std::string_view why) {
  return {fmt::format("图片无法读写（{}）：检查剩余空间和存储卡", why),
          fmt::format("pictures cannot be read or written ({}): check free space and the card", why)};
}

Text output_not_from_afar(std::string_view output) {
  return {fmt::format("本机配置不允许远程控制输出 {}（该 [[output]] 中写 county = true 才可以）", output),
          fmt::format("this box's config does not let the output {} be set from afar (it takes county = true in its [[output]])", output)};
}

Text command_not_allowed(std::string_view verb) {
  return {fmt::format("本机配置不允许县平台执行 {}（见 [county] verbs）", verb),
          fmt::format("this box's config does not let the county run {} (see [county] verbs)", verb)};
}

Text command_ran_already(std::string_view id) {
  return {fmt::format("命令 {} 已经执行过", id), fmt::format("command {} has been run already", id)};
}

Text command_without_expiry(std::string_view verb) {
  return {fmt::format("{} 需要 exp：UTC 毫秒，不超过 60 秒之后", verb),
          fmt::format("{} needs exp: UTC in milliseconds, at most 60 s ahead", verb)};
}

Text command_expired() { return {"命令已过期，没有执行", "the command has expired and was not run"}; }

Text command_clock_unset() {
  return {"本机时钟未校准，无法判断命令是否过期，没有执行",
          "this box's clock is not set, so it cannot tell whether the command has expired; it was not run"};
}

Text trial_is_running() {
  return {"已有一份配置在试用：先确认，或等它退回", "a config is on trial already: confirm it, or wait until it has gone back"};
}

Text proposal_too_large(std::size_t most) {
  return {fmt::format("配置超过 {} 字节", most), fmt::format("the config is larger than {} bytes", most)};
}

Text no_trial() { return {"没有试用中的配置，可能已经退回", "no config is on trial; it may have gone back already"}; }

}  // namespace hamlet::daemon::texts
