#pragma once

#include <string_view>

#include "firmware/core/alarm.hpp"
#include "firmware/core/sentence.hpp"
#include "firmware/detect/expression.hpp"

// What the reader of [quality] and [[alarm]] says.
namespace hamlet::detect::texts {

inline Text must_be_positive(double found) {
  return sentence("{} 超出范围；应大于 0", "{} is out of range; expected more than 0", found);
}
inline Text want_span() {
  return sentence("应为 [下限, 上限]，下限小于上限", "expected [low, high] with low below high");
}
inline Text no_change() {
  return sentence("缺少此项；请写 { change = 0.5, per = \"1min\" }",
                  "missing; write { change = 0.5, per = \"1min\" }");
}
inline Text no_tolerance() {
  return sentence("缺少此项；变化小于此值即视为不变", "missing; flat is what stays within less than this");
}
inline Text want_turn(int lowest, int highest) {
  return sentence("应为 [起, 止]，{} 到 {} 的整数，两端都包括在内",
                  "expected [first, last], whole numbers from {} to {}; both are in it", lowest, highest);
}
inline Text no_usual() {
  return sentence("缺少 suspect；应为 [下限, 上限]，即这时的常见范围",
                  "suspect: missing; expected [low, high], what is usual then");
}
inline Text too_many_members(std::size_t most) { return sentence("多于 {} 项", "more than {} members", most); }
inline Text no_limit() {
  return sentence("缺少 suspect 或 fail：至少写其中一个界限", "expected suspect, fail or both: one limit at least");
}
inline Text fail_below_suspect() { return sentence("不得小于 suspect", "must not be less than suspect"); }
inline Text fail_above_suspect() { return sentence("不得大于 suspect", "must not be more than suspect"); }
inline Text own_neighbour() { return sentence("测点不能与自己比较", "a point is no neighbour of itself"); }
inline Text no_difference() {
  return sentence("缺少 difference 或 ratio：至少写其中一个", "expected difference, ratio or both");
}
inline Text fail_before_suspect() {
  return sentence("不得短于 suspect", "must not be shorter than suspect");
}
inline Text suspect_too_short() {
  return sentence("至少为两个采样间隔（every）：样本太少，无从判断",
                  "must be at least two sampling intervals (every): fewer samples say nothing");
}
inline Text suspect_beyond_range(double low, double high) {
  return sentence("必须在 range [{}, {}] 之内", "must lie within range [{}, {}]", low, high);
}
inline Text want_one_condition(std::string_view conditions) {
  return sentence("应恰好填写其中一项：{}", "expected exactly one of {}", conditions);
}
inline Text equals_no_number() {
  return sentence("应为 true、false 或文字；数字请用 above 和 below",
                  "expected true, false or a text; for numbers use above and below");
}
inline Text equals_no_deadband() {
  return sentence("用 equals 比较的测点没有回差", "a point that is compared with equals has none");
}
inline Text deadband_too_large(double limit) {
  return sentence("必须小于 {}，否则报警永远不会恢复", "must be less than {}, or the alarm would never return", limit);
}
inline Text never_returns(double most) {
  return sentence("报警永远不会恢复：range 之外的读数为坏值；应不超过 {:.6g}",
                  "the alarm would never return: readings outside range are bad; expected {:.6g} or less", most);
}
inline Text name_of(Kind kind) {
  return kind == Kind::number    ? sentence("数字", "number")
         : kind == Kind::boolean ? sentence("开关量", "boolean")
                                 : sentence("文字", "text");
}
inline Text limit_needs_numbers(std::string_view point, Kind kind) {
  return sentence("测点“{}”是{}，不是数字，永远不会报警；请用 equals",
                  "the point '{}' is a {}, not a number: this would never be raised; use equals", point, name_of(kind));
}
inline Text test_needs_numbers(std::string_view point, Kind kind) {
  return sentence("测点“{}”是{}，不是数字，此项不起作用；请删去，gap 可用",
                  "the point '{}' is a {}, not a number: this does nothing; take it away (gap works)", point, name_of(kind));
}
inline Text equals_other_type(std::string_view point, Kind kind) {
  return sentence("测点“{}”是{}，与另一类型的值比较，永远不会报警",
                  "the point '{}' is a {}: compared with a value of another type this would never be raised", point,
                  name_of(kind));
}
inline Text within_not_here() {
  return sentence("只用于 rise 和 fall", "belongs to rise and fall only");
}
inline Text when_no_deadband() {
  return sentence("表达式没有回差；请用 off_delay", "an expression has none; use off_delay");
}
inline Text when_no_point() {
  return sentence("表达式自己写明测点", "an expression names its points itself");
}
inline Text seasons_not_here() { return sentence("只用于 above 和 below", "belongs to above and below only"); }
inline Text belongs_to_steps() {
  return sentence("分级报警的界限写在 [[alarm.step]] 里", "the limits of an alarm with steps stand in [[alarm.step]]");
}
inline Text step_id_too_long(std::string_view id) {
  return sentence("合成的标识“{}”超过 32 个字符", "together '{}', which is longer than 32 characters", id);
}
inline Text step_not_further() {
  return sentence("每一级必须比前一级更远", "each step must be further out than the one before");
}
inline Text critical_no_text() {
  return sentence("text：缺少此项；critical 级报警必须有：text = { zh = \"…\", en = \"…\" }",
                  "text: missing; a critical alarm needs one: text = { zh = \"…\", en = \"…\" }");
}
inline Text text_empty() {
  return sentence("两种语言的文字都不能为空", "must not be empty in either language");
}
inline Text never_raised(double low, double high) {
  return sentence("永远不会报警：该测点的 range 是 [{}, {}]，超出的读数为坏值",
                  "would never be raised: the point's range is [{}, {}], and readings outside are bad", low, high);
}
inline Text no_such_point(std::string_view point) {
  return sentence("没有测点“{}”", "there is no point '{}'", point);
}
inline Text perhaps(const Text& message, std::string_view near) {
  return sentence("{}；是否应为“{}”？", "{}; did you mean '{}'?", message, near);
}
inline Text alarm_twice(std::string_view id) {
  return sentence("已有报警“{}”", "another alarm is called '{}' already", id);
}

// Outputs.
inline Text no_such_output(std::string_view id) {
  return sentence("没有可用的输出“{}”", "there is no such output '{}'", id);
}
inline Text no_such_alarm(std::string_view id) { return sentence("没有报警“{}”", "there is no alarm '{}'", id); }
inline Text no_such_drive(std::string_view name) {
  return sentence("没有设备输出“{}”；应为“设备.输出”，见该设备的 [[device.output]]",
                  "there is no '{}'; expected \"device.output\", of a [[device.output]]", name);
}
inline Text no_trigger() {
  return sentence("缺少此项；请写 when = [\"报警\", …]，或 severity = \"critical\"",
                  "missing; write when = [\"alarm\", ...], or severity = \"critical\" for all of them");
}
inline Text only_points() {
  return sentence("联锁条件只能用测点，不能用事件", "an interlock speaks of points, not of events");
}
inline Text rest_without_max() { return sentence("没有 max_on 时无意义", "has no meaning without max_on"); }
inline Text max_below_min() { return sentence("不得短于 min_on", "must not be shorter than min_on"); }
inline Text both_fail_safe_on(std::string_view other) {
  return sentence("“{}”与本输出的 fail_safe 都是 \"on\"，启动时会同时接通",
                  "'{}' and this one both have fail_safe = \"on\": they would be on together at a start", other);
}
inline Text output_twice(std::string_view id) {
  return sentence("已有输出“{}”", "another output is called '{}' already", id);
}
inline Text driven_twice(std::string_view drive, std::string_view id) {
  return sentence("“{}”已由输出“{}”驱动", "'{}' is driven by the output '{}' already", drive, id);
}
inline Text message_wants_text(std::string_view id) {
  return sentence("输出“{}”发送消息：请给出文字", "the output '{}' sends messages: give it a text", id);
}
inline Text output_wants_on_or_off(std::string_view id) {
  return sentence("输出“{}”只能是 true（开）、false（关）或 \"auto\"（自动）",
                  "the output '{}' is true (on), false (off) or \"auto\"", id);
}

// ---- expressions: what is wrong, at a character -----------------------------------------------------------------------

inline Text at_character(std::size_t character, const Text& what) {
  return sentence("第 {} 个字符：{}", "character {}: {}", character, what);
}
inline Text too_long(std::size_t most) { return sentence("超过 {} 个字符", "longer than {} characters", most); }
inline Text too_deep(int most) { return sentence("嵌套超过 {} 层", "nested more than {} deep", most); }
inline Text too_much(std::size_t most) { return sentence("多于 {} 项", "more than {} parts", most); }
inline Text too_many_terms(std::size_t most) {
  return sentence("用到的测点和事件多于 {} 个", "names more than {} points and events", most);
}
inline Text want_operand() {
  return sentence("应为测点、数字、事件或函数", "expected a point, a number, an event or a function");
}
inline Text want_symbol(std::string_view symbol) { return sentence("应为“{}”", "expected '{}'", symbol); }
inline Text leftover(std::string_view found) {
  return sentence("多出“{}”；条件之间用 AND 或 OR 连接", "'{}' is left over; conditions are joined by AND or OR",
                  found);
}
inline Text no_symbol(std::string_view found) {
  return sentence("不认识“{}”；可用的符号（半角）：> >= < <= == != + - * / ( ) ,",
                  "'{}' means nothing here; the symbols are > >= < <= == != + - * / ( ) ,", found);
}
inline Text want_duration(std::string_view low, std::string_view high) {
  return sentence("应为 {} 到 {} 的时长，如 10min", "expected a duration from {} to {}, as 10min", low, high);
}
inline Text want_time_of_day() {
  return sentence("应为一天中的时刻，如 06:00", "expected a time of day, as 06:00");
}
inline Text want_hours() { return sentence("应为时段，如 22:00-06:00", "expected hours, as 22:00-06:00"); }
inline Text want_months() { return sentence("应为月份，如 5-9", "expected months, as 5-9"); }
inline Text want_number() { return sentence("应为数字，这里是条件", "expected a number, this is a condition"); }
inline Text want_condition() {
  return sentence("应为条件，这里是数字；请与界限比较，如 > 3", "expected a condition, this is a number; compare it, as > 3");
}
inline Text point_not_number(std::string_view point) {
  return sentence("测点“{}”不是数字", "the point '{}' is not a number", point);
}
inline Text point_not_truth(std::string_view point) {
  return sentence("测点“{}”不是 true/false；请与界限或文字比较",
                  "the point '{}' is not true or false; compare it with a limit or a text", point);
}
inline Text point_not_text(std::string_view point) {
  return sentence("测点“{}”不是文字", "the point '{}' is not a text", point);
}
inline Text text_needs_equals() {
  return sentence("文字只能用 == 或 != 与测点比较", "a text can only be compared with a point, by == or !=");
}
inline Text text_open() { return sentence("引号没有结束", "the quote does not end"); }
inline Text bad_number() { return sentence("不是数字", "this is no number"); }
inline Text divides_by_zero() { return sentence("不能除以 0", "nothing can be divided by 0"); }
inline Text no_such_function(std::string_view name) { return sentence("没有函数“{}”", "there is no function '{}'", name); }
inline Text no_such_source(std::string_view name) {
  return sentence("没有摄像机或设备“{}”", "there is no camera or device '{}'", name);
}
inline Text want_id() {
  return sentence("应为带引号的标识，如 \"cam-pond\"", "expected an id in quotes, as \"cam-pond\"");
}
inline Text want_point_here() { return sentence("这里只能写测点", "expected a point here"); }
inline Text want_count(std::size_t most) {
  return sentence("应为 1 到 {} 的整数", "expected a whole number from 1 to {}", most);
}
inline Text want_more_conditions(std::size_t least) {
  return sentence("至少需要 {} 个条件", "needs {} conditions at least", least);
}
inline Text other_unit(std::string_view found, std::string_view wanted) {
  return sentence("单位 {} 与 {} 不能比较", "{} cannot be compared with {}", found, wanted);
}
inline Text names_nothing() {
  return sentence("没有用到任何测点或事件", "names no point and no event");
}

// What operators are refused.
inline Text name_of(AlarmState state) {
  switch (state) {
    case AlarmState::normal:
      return sentence("正常", "normal");
    case AlarmState::unacked:
      return sentence("未确认", "not acknowledged");
    case AlarmState::acked:
      return sentence("已确认", "acknowledged");
    case AlarmState::returned:
      return sentence("已恢复，未确认", "back to normal, not acknowledged");
    case AlarmState::shelved:
      return sentence("暂时搁置", "shelved");
    case AlarmState::suppressed:
      return sentence("已抑制", "suppressed");
    case AlarmState::out_of_service:
      return sentence("停用", "out of service");
  }
  return {};
}
inline Text other_occurrence(std::string_view id, std::uint64_t now, std::uint64_t asked) {
  return sentence("报警“{}”现在是第 {} 次，不是第 {} 次；请重新查看",
                  "alarm '{}' is at occurrence {}, not {}; look at it again", id, now, asked);
}
inline Text nothing_to_acknowledge(std::string_view id, AlarmState state) {
  return sentence("报警“{}”当前状态为“{}”，无需确认", "alarm '{}' is {}; there is nothing to acknowledge", id,
                  name_of(state));
}
inline Text length_out_of_range(std::string_view found, std::string_view least, std::string_view most) {
  return sentence("{} 超出范围；应为 {} 到 {}", "{} is out of range; from {} to {}", found, least, most);
}
inline Text not_shelved(std::string_view id) {
  return sentence("报警“{}”没有搁置", "alarm '{}' is not shelved", id);
}
inline Text in_service(std::string_view id) {
  return sentence("报警“{}”没有停用", "alarm '{}' is in service", id);
}
inline Text no_alarm_watches(std::string_view device) {
  return sentence("没有报警用到设备“{}”；全站请写 all", "no alarm watches a device '{}'; all: the whole box", device);
}
inline Text not_in_maintenance(std::string_view device) {
  return sentence("“{}”不在检修中", "'{}' is not in maintenance", device);
}

}  // namespace hamlet::detect::texts
