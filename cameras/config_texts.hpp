#pragma once

#include "firmware/core/sentence.hpp"

// What the reader of [[camera]] says.
namespace hamlet::cameras::texts {

inline Text want_corners(std::size_t most) {
  return sentence("区域需要 3 至 {} 个角点，写作 [[x, y], [x, y], [x, y]]，单位为像素，或画面的比例（0 至 1）",
                  "a zone needs 3 to {} corners, as [[x, y], [x, y], [x, y]] in pixels, or in fractions of the picture (0 to 1)", most);
}
inline Text want_line() {
  return sentence("越线规则需要一条线，写作两个点：[[x, y], [x, y]]", "a crossing needs a line of two points: [[x, y], [x, y]]");
}
inline Text no_class(std::string_view word) {
  return sentence("没有类别“{}”；可用 \"person\"、\"vehicle\"、\"small\"、\"other\"",
                  "there is no class \"{}\"; there are \"person\", \"vehicle\", \"small\" and \"other\"", word);
}
inline Text no_hours(std::string_view text) {
  return sentence("“{}”不是时段；应写作 \"22:00-06:30\"", "\"{}\" is no span of hours; write \"22:00-06:30\"", text);
}
inline Text too_many_masks(std::size_t most) {
  return sentence("一台摄像机最多 {} 个遮挡区", "a camera has at most {} masks", most);
}
inline Text corner_outside(double x, double y) {
  return sentence("角点 [{}, {}] 在任何画面之外；像素从左上角数起，0 至 16384",
                  "the corner [{}, {}] is outside any picture; pixels are counted from the upper left, 0 to 16384", x,
                  y);
}
inline Text mixed_numbers() {
  return sentence("同时有大于 1 的数和 0 到 1 之间的小数：画面比例不能超过 1；若用像素，请全部用像素",
                  "numbers above 1 and fractions are mixed: fractions of the picture go from 0 to 1; in pixels, give all in pixels");
}
inline Text sides_cross() {
  return sentence("多边形的边互相交叉：请沿边缘依次写出角点", "its sides cross one another: give the corners in the order in which one walks around it");
}
inline Text no_area() {
  return sentence("这些角点几乎围不出面积：检查坐标，像素还是比例（0 至 1）",
                  "these corners enclose next to nothing: check them, and whether they are pixels or fractions (0 to 1)");
}
inline Text beyond_drawn_on(std::string_view what) {
  return sentence("{} 有角点超出 drawn_on 的画面：检查角点或 drawn_on", "{} has a corner beyond the picture of drawn_on: check its corners, or drawn_on", what);
}
inline Text want_user() {
  return sentence("有密码而没有用户名：请写 user = \"…\"", "there is a password and no user: write user = \"…\"");
}
inline Text source_too_long() {
  return sentence("source 超过 1024 字节", "the source is longer than 1024 bytes");
}
inline Text source_has_space() {
  return sentence("source 中有空格或控制字符", "the source has a space or a control character in it");
}
inline Text want_whole_path() {
  return sentence("文件须写完整路径：\"file:/path/clip.mp4\"", "a file needs its whole path: \"file:/path/clip.mp4\"");
}
inline Text want_device() {
  return sentence("本机摄像机写作 \"device:/dev/video0\"", "a camera at this machine is written \"device:/dev/video0\"");
}
inline Text no_host() {
  return sentence("缺少主机：\"rtsp://192.168.1.64/stream1\"", "the host is missing: \"rtsp://192.168.1.64/stream1\"");
}
inline Text password_in_source() {
  return sentence(
      "用户名和密码不要写在 source 里，那里人人可见；请写 user = \"…\" 和 password = { file = "
      "\"/etc/hamlet/camera.secret\" }",
      "user and password do not belong in the source, where everybody reads them; write user = \"…\" and password = "
      "{ file = \"/etc/hamlet/camera.secret\" }");
}
inline Text no_source() {
  return sentence("这不是视频来源；应为 \"rtsp://host/path\"、\"http://host/path\"、\"device:/dev/video0\" 或 \"file:/path/clip.mp4\"",
                  "this is no source; expected \"rtsp://host/path\", \"http://host/path\", \"device:/dev/video0\" or \"file:/path/clip.mp4\"");
}
inline Text want_drawn_on() {
  return sentence("应为绘制区域时画面的宽和高（像素）：[1280, 720]",
                  "expected the width and height in pixels of the picture that the zones were drawn on: [1280, 720]");
}
inline Text want_gb28181() {
  return sentence("GB/T 28181 编码为 20 位数字", "an id after GB/T 28181 has 20 digits");
}
inline Text zone_twice() {
  return sentence("本摄像机的另一个区域已用此标识", "another zone of this camera has this id");
}
inline Text too_many_zones(std::size_t most) {
  return sentence("一台摄像机最多 {} 个区域", "a camera has at most {} zones", most);
}
inline Text camera_twice() {
  return sentence("另一台摄像机已用此标识", "another camera has this id");
}
inline Text too_many_cameras(std::size_t most) {
  return sentence("一台网关最多 {} 台摄像机", "a box has at most {} cameras", most);
}

}  // namespace hamlet::cameras::texts
