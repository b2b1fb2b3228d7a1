#include "firmware/ctl/views.hpp"

#include <doctest/doctest.h>
#include "tests/unit/ctl/has.hpp"

using namespace hamlet::ctl;
using hamlet::Lang;
using nlohmann::json;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t kNow = 1'795'411'860'000;  // 2026-11-23 13:31:00 in Beijing

Invocation asked(Verb verb, Lang lang) {
  Invocation out;
  out.verb = verb;
  out.lang = lang;
  out.point = "river.level";
  out.since = 2h;
  out.limit = 100;
  return out;
}

Shown zh(Verb verb, const json& result) {
  return show(asked(verb, Lang::zh), result, hamlet::wall_from_ms(kNow), false);
}
Shown en(Verb verb, const json& result) {
  return show(asked(verb, Lang::en), result, hamlet::wall_from_ms(kNow), false);
}
json status() {
  return json::parse(
      R"({"gw":"gw-0017","version":"0.1.0","contract":1,"uptime_s":93784,"boot":3,"epoch":"9f2c41d07be1a655",
    "ts":1795411860000,"tq":"synced","health":"degraded",
    "problems":[{"id":"device:river","text":{"zh":"设备 river 没有应答","en":"device river does not answer"}}],
    "devices":{"up":2,"down":1},"cameras":{"up":1,"down":0},"alarms":{"unacked":1,"active":2},
    "uplink":{"state":"offline","broker":"mqtt://county:1883"},"journal":{"unsent":120,"waiting":3,"file_bytes":3240000}})");
}

}  // namespace

TEST_CASE("status says what is wrong and what to do") {
  const auto shown = zh(Verb::status, status());
  CHECK(shown.data ==
        "网关    gw-0017\n"
        "状态    有问题\n"
        "版本    0.1.0\n"
        "已运行  26 小时 3 分钟\n"
        "时间    2026-11-23 13:31:00 (已校时)\n"
        "设备    2 个在线，1 个掉线\n"
        "摄像机  1 个在线，0 个掉线\n"
        "报警    2 条需要处理，其中 1 条未确认\n"
        "上行    未连接  mqtt://county:1883\n"
        "日志库  120 条待上传，3 条待写入，占用 3.2 MB\n"
        "问题    设备 river 没有应答\n");
  for (const auto* next : {"hamlet points", "hamlet alarms", "hamlet uplink"}) CHECK(has(shown.words, next));
  CHECK(!has(shown.words, "hamlet cameras"));
  CHECK(has(en(Verb::status, status()).data, "Problems  device river does not answer\n"));
}

TEST_CASE("status has nothing to say when all is well") {
  auto all_well = status();
  all_well["health"] = "ok";
  all_well["problems"] = json::array();
  all_well["devices"]["down"] = 0;
  all_well["alarms"] = {{"unacked", 0}, {"active", 0}};
  all_well["uplink"]["state"] = "online";
  const auto shown = en(Verb::status, all_well);
  CHECK(shown.words.empty());
  CHECK(has(shown.data, "State    ok\n"));
}

TEST_CASE("points show value, quality and its reason in words") {
  const auto points = json::parse(R"({"points":[
    {"point":"river.level","name":{"zh":"河道水位","en":"River level"},"value":2.31,"unit":"m","q":"good","ts":1795411855000,"tq":"synced"},
    {"point":"pump.on","name":{"zh":"水泵","en":"Pump"},"value":null,"unit":"","q":"missing","why":"device-down","ts":1795411680000,"tq":"synced"},
    {"point":"rain.rate","name":{"zh":"雨强","en":"Rain"},"value":null,"unit":"mm","q":"missing","why":"no-reading-yet","ts":null}]})");
  CHECK(zh(Verb::points, points).data ==
        "测点         名称        值  单位  质量  原因        时间                   多久前\n"
        "river.level  河道水位  2.31  m     好                2026-11-23 13:30:55    5 秒前\n"
        "pump.on      水泵         -        缺失  设备掉线    2026-11-23 13:28:00  3 分钟前\n"
        "rain.rate    雨强         -  mm    缺失  还没有读数  -                           -\n");
  CHECK(has(en(Verb::points, points).data, "device down"));
}

TEST_CASE("readings of a time when the clock was not set are marked") {
  const auto readings = json::parse(R"({"point":"river.level","unit":"m","readings":[
    {"t":1795411800000,"tq":"unsynced","v":2.3,"q":"good"},{"t":1795411860000,"tq":"synced","v":9.9,"q":"suspect","why":"rate-of-change"}]})");
  const auto shown = en(Verb::readings, readings);
  CHECK(shown.data ==
        "Time                         Age  Value  Unit  Quality  Reason\n"
        "2026-11-23 13:30:00 ?  1 min ago    2.3  m     good\n"
        "2026-11-23 13:31:00      0 s ago    9.9  m     suspect  changes too fast\n");
  CHECK(has(shown.words, "not certain"));
}

TEST_CASE("readings that were cut off say so") {
  auto request = asked(Verb::readings, Lang::en);
  request.limit = 1;
  const json one{{"readings", {{{"t", kNow}, {"tq", "synced"}, {"v", 1}, {"q", "good"}}}}};
  CHECK(has(show(request, one, hamlet::wall_from_ms(kNow), false).words, "Only the newest 1"));
  request.limit = 2;
  CHECK(show(request, one, hamlet::wall_from_ms(kNow), false).words.empty());
}

TEST_CASE("events tell their facts in words") {
  const auto events = json::parse(
      R"({"events":[{"epoch":"9f2c41d07be1a655","seq":7,"ts":1795411860000,"tq":"synced","source":"cam-ford",
    "kind":"motion","phase":"end","event":"00112233aabbccdd","detail":{"zone":"ford","why":"camera-lost","box":[1,2,3,4]},"media":[]},
    {"epoch":"9f2c41d07be1a655","seq":8,"ts":1795411860000,"tq":"synced","source":"gateway","kind":"brand-new","phase":"once","detail":{"x":1}}]})");
  CHECK(zh(Verb::events, events).data ==
        "时间                 多久前  来源      事件        阶段  详情\n"
        "2026-11-23 13:31:00  0 秒前  cam-ford  画面有动静  结束  原因=摄像机掉线 区域=ford\n"
        "2026-11-23 13:31:00  0 秒前  gateway   brand-new         x=1\n");
}

TEST_CASE("alarms that call for somebody come first, the most urgent on top") {
  const auto alarm = [](const char* id, const char* state, const char* severity) {
    return json{{"alarm", id},
                {"occurrence", 2},
                {"state", state},
                {"severity", severity},
                {"since", kNow - 60'000},
                {"value", 4.7},
                {"limit", 4.5},
                {"text", {{"zh", "水位过高"}, {"en", "Level high"}}}};
  };
  const json alarms{{"alarms",
                     {alarm("normal-one", "normal", "critical"), alarm("acked-one", "acked", "critical"),
                      alarm("minor-one", "unacked", "minor"), alarm("major-one", "unacked", "major")}}};
  const auto shown = en(Verb::alarms, alarms);
  const auto at = [&](const char* id) { return shown.data.find(id); };
  CHECK(at("major-one") < at("minor-one"));
  CHECK(at("minor-one") < at("acked-one"));
  CHECK(at("normal-one") == std::string::npos);
  CHECK(has(shown.words, "1 more alarms are normal"));
  CHECK(has(shown.words, "hamlet alarms ack major-one"));
}

TEST_CASE("cameras, journal and uplink are drawn") {
  const auto cameras =
      en(Verb::cameras, json::parse(R"({"cameras":[{"id":"cam-ford","name":{"zh":"渡口","en":"Ford"},"state":"down",
    "why":"timeout","fps":0.04,"frames":12,"zones":["ford","road"]}],"eyes":{"state":"up","restarts":2}})"));
  CHECK(has(cameras.data, "cam-ford  Ford  down   no answer in time  0.0      12  ford road  -\n"));
  CHECK(has(cameras.data, "Analysis process  up, restarted 2 times\n"));

  const auto journal =
      zh(Verb::journal, json::parse(R"({"epoch":"9f2c41d07be1a655","boot":3,"window_ms":10000,"file_bytes":4096,
    "media_bytes":0,"failure":"disk full","lanes":{"tele":{"first":1,"last":1841,"waiting":3,"unsent":120}}})"));
  CHECK(has(journal.data, "测量数据         1      1841       3     120\n"));
  CHECK(has(journal.data, "故障      disk full"));
  CHECK(has(journal.words, "df -h"));

  const auto uplink =
      en(Verb::uplink, json::parse(R"({"state":"connecting","broker":"mqtt://county:1883","protocol":"5",
    "since_ts":1795411800000,"last_error":"refused","inflight":0,"reconnects":4,
    "lanes":{"alarm":{"last":3,"sent":2,"pending":1}}})"));
  CHECK(has(uplink.data, "State       connecting\n"));
  CHECK(has(uplink.data, "Lane   Last  Sent up to  Pending\nalarm     3           2        1\n"));
}

TEST_CASE("why there is no link, and which step of its test fails, is told in the reader's language") {
  const auto uplink = json::parse(R"({"state":"offline","broker":"mqtts://county","last_error":"a web server answers","fault":"portal",
    "trouble":{"zh":"热点认证","en":"a web server answers"},"warnings":[{"id":"cert-expires","text":{"zh":"将过期","en":"expires on"}}],"lanes":{}})");
  CHECK(has(zh(Verb::uplink, uplink).data, "热点认证"));
  CHECK(!has(zh(Verb::uplink, uplink).data, "web server"));
  CHECK(has(zh(Verb::uplink, uplink).data, "将过期"));
  CHECK(has(en(Verb::uplink, uplink).data, "a web server answers"));
  const auto steps = json::parse(R"({"broker":"mqtts://county","steps":[{"step":"connect","ok":true,"ms":12},
    {"step":"tls","ok":false,"fault":"portal","text":{"zh":"热点认证","en":"a web server answers"}}]})");
  const auto told = zh(Verb::uplink_test, steps).data;
  CHECK(has(told, "TLS 握手"));
  CHECK(has(told, "失败"));
  CHECK(has(told, "热点认证"));
  CHECK(has(en(Verb::uplink_test, steps).data, "a web server answers"));
}

TEST_CASE("the journal says what a power cut would cost, how full it is and what it writes") {
  auto journal = json::parse(R"({"epoch":"9f2c41d07be1a655","boot":3,"window_ms":10000,"file_bytes":100000000,
    "media_bytes":50000000,"aside_bytes":2000000,"older_unsent":7,"quota_bytes":2147483648,"free_bytes":90000000,
    "min_free_bytes":134217728,"power_cut":{"records":3,"oldest_ms":4000},"batch_readings":17,"batch_ms":6000,
    "written":{"last_day":50000000,"since_start":5000000,"uptime_ms":7200000,"per_day":60000000},"lanes":{}})");
  const auto shown = en(Verb::journal, journal).data;
  CHECK(has(shown, "3 records, and 17 readings being gathered; the oldest is 6 s old"));
  CHECK(has(shown, "152.0 MB of 2.1 GB (7 %)"));
  CHECK(has(shown, "90.0 MB (at least 134.2 MB is left)"));
  CHECK(has(shown, "60.0 MB (in 2 h 0 min: 5.0 MB)"));
  CHECK(has(shown, "Earlier epochs         7 unsent"));
  CHECK(has(zh(Verb::journal, journal).data, "最早的 6 秒前"));
  journal["power_cut"] = {{"records", 0}};
  journal["batch_readings"] = 0;
  journal["written"].erase("per_day");
  CHECK(has(en(Verb::journal, journal).data, "nothing: all is on disk"));
  CHECK(has(en(Verb::journal, journal).data, "in 2 h 0 min since the start: 5.0 MB"));
}

TEST_CASE("what a check found is named") {
  const auto wrong = json::parse(R"({"ok":false,"records":10,"blocks":2,"bytes":300,"damaged":[{"epoch":"9f2c41d07be1a655",
    "lane":"tele","from":3,"to":7,"count":5,"why":"checksum"}],"damaged_file":["page 7 is never used"],
    "pictures_missing":["a-1.jpg"],"aside":[{"file":"journal-20260501T083000Z-damaged.db","bytes":9}]})");
  const auto shown = en(Verb::journal_check, wrong);
  CHECK(has(shown.data, "tele 3-7 (9f2c41d07be1a655, checksum)"));
  CHECK(has(shown.data, "page 7 is never used"));
  CHECK(has(shown.data, "a-1.jpg"));
  CHECK(has(shown.words, "There is damage"));
  CHECK(has(en(Verb::journal_check, {{"ok", true}}).words, "Nothing is damaged"));
}

TEST_CASE("where there is nothing, the words say what that means and stdout stays empty") {
  const std::vector<std::pair<Verb, const char*>> rows{
      {Verb::points, "[[device]]"}, {Verb::readings, "--since 7d"}, {Verb::events, "--since 7d"},
      {Verb::alarms, "[[alarm]]"},  {Verb::cameras, "[[camera]]"},
  };
  for (const auto& [verb, next] : rows) {
    for (const auto& shown : {zh(verb, json::object()), en(verb, json::object())}) {
      CHECK(shown.data.empty());
      CHECK(has(shown.words, next));
    }
  }
  const json quiet{{"alarms", {{{"alarm", "a"}, {"state", "normal"}}}}};
  CHECK(has(en(Verb::alarms, quiet).words, "1 normal"));
  CHECK(has(en(Verb::uplink, {{"state", "off"}}).words, "[uplink]"));
}

TEST_CASE("alarms that are put aside are told, and explained") {
  const json alarms{{"alarms", {{{"alarm", "a"}, {"state", "normal"}}, {{"alarm", "b"}, {"state", "shelved"}}}},
                    {"flood", true},
                    {"maintenance", {{{"device", "river"}, {"until", 1'795'411'860'000}}}}};
  const auto words = en(Verb::alarms, alarms).words;
  CHECK(has(words, "1 normal"));
  CHECK(has(words, "b: shelved"));
  CHECK(has(words, "river is in maintenance until 2026-"));
  CHECK(has(words, "flood"));
  const json explained{{"alarm",
                        {{"alarm", "flash-flood"},
                         {"state", "suppressed"},
                         {"severity", "critical"},
                         {"suppressed_by", {"maintenance"}},
                         {"chatters", true},
                         {"rule",
                          {{"when", "river.level > 3"},
                           {"action", {{"zh", "撤离"}, {"en", "Leave the valley"}}},
                           {"time_to_act_ms", 1'200'000}}}}}};
  CHECK(has(en(Verb::alarm_explain, explained).data, "Leave the valley"));
  CHECK(has(zh(Verb::alarm_explain, explained).data, "撤离"));
  CHECK(has(en(Verb::alarm_explain, explained).data, "river.level > 3"));
  CHECK(has(en(Verb::alarm_explain, explained).words, "chatters"));
}

// A rise was told without its time, other limits by season, deadband and delays not at all, and "above" in Chinese too.
TEST_CASE("an alarm's condition is explained in full, in both languages") {
  const auto explained = [](json rule) { return json{{"alarm", {{"alarm", "a"}, {"state", "normal"}, {"rule", std::move(rule)}}}}; };
  const auto rise = explained({{"point", "river.level"}, {"condition", "rise"}, {"limit", 0.3}, {"within_ms", 600'000}});
  CHECK(has(en(Verb::alarm_explain, rise).data, "river.level rises by more than 0.3 within 10 min"));
  CHECK(has(zh(Verb::alarm_explain, rise).data, "river.level 在 10 分钟 内上升超过 0.3"));
  const auto high = explained({{"point", "river.level"},
                               {"condition", "above"},
                               {"limit", 4.5},
                               {"deadband", 0.2},
                               {"on_delay_ms", 30'000},
                               {"off_delay_ms", 300'000},
                               {"seasons", {{{"months", {6, 9}}, {"hours", {0, 23}}, {"limit", 3.8}}}}});
  const auto words = en(Verb::alarm_explain, high).data;
  for (const auto* part : {"river.level > 4.5", "months 6-9, hours 0-23: 3.8", "Deadband", "30 s", "5 min"}) CHECK(has(words, part));
  for (const auto* part : {"river.level > 4.5", "6-9 月、0-23 时：3.8", "回差", "触发延时", "恢复延时"}) {
    CHECK(has(zh(Verb::alarm_explain, high).data, part));
  }
}

TEST_CASE("alarms that wait for the clock are named") {  // only the tests of points were
  const json waits{{"alarm", "night-door"}, {"state", "normal"}, {"waits", "clock"}, {"since", 1'795'411'860'000}, {"tq", "unsynced"}};
  for (const auto& shown : {en(Verb::alarms, {{"alarms", {waits}}}), en(Verb::alarm_explain, {{"alarm", waits}})}) {
    CHECK(has(shown.words, "night-door: the clock is unset"));
  }
  CHECK(has(en(Verb::alarm_explain, {{"alarm", waits}}).data, "2026-11-23 13:31:00 ?"));
  CHECK(has(zh(Verb::alarms, {{"alarms", {waits}}}).words, "night-door：网关还没有校时"));
}

TEST_CASE("what outputs and operators did is told in Chinese, too") {  // "on=是 output=siren 原因=alarm"
  const json events{{"events",
                     {{{"source", "gateway"},
                       {"kind", "output"},
                       {"phase", "once"},
                       {"detail", {{"output", "siren"}, {"on", true}, {"value", true}, {"why", "alarm"}, {"alarm", "flood"}}}}}}};
  const auto words = zh(Verb::events, events).data;
  CHECK(has(words, "输出=siren"));
  CHECK(has(words, "开启=是"));
  CHECK(has(words, "原因=报警"));
}

TEST_CASE("a result of another shape does not throw") {
  const std::vector<json> results{json{}, json::array({1, 2}),
                                  json{{"points", "x"}, {"readings", 1}, {"events", {1, "x"}}, {"alarms", {nullptr}}},
                                  json{{"points", {1}}, {"cameras", {{{"fps", "x"}, {"zones", {1}}}}}, {"lanes", 5}}};
  for (const auto verb : {Verb::status, Verb::points, Verb::readings, Verb::events, Verb::alarms, Verb::alarm_ack,
                          Verb::alarm_shelve, Verb::alarm_explain,
                          Verb::cameras, Verb::journal, Verb::journal_stat, Verb::journal_check, Verb::journal_export,
                          Verb::uplink, Verb::config_check}) {
    for (const auto& result : results) CHECK_NOTHROW(static_cast<void>(zh(verb, result)));
  }
}
