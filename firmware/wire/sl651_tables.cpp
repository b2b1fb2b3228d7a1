#include <algorithm>
#include <iterator>
#include <map>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "firmware/wire/sl651.hpp"

// The standard's tables: function codes (appendix B), elements (appendix C), parameters (appendix D), classes of stations
// (appendix A).
namespace hamlet::wire::sl651 {
namespace {

struct Row {
  std::uint16_t id;
  const char* symbol;
  const char* unit;
  std::uint8_t bytes;
  std::uint8_t decimals;
  struct {
    const char* zh;
    const char* en;
  } name;
};

constexpr Row kElementRows[] = {  // NOLINT(modernize-avoid-c-arrays): its size is its rows
    {0xF0, "TT", "", 5, 0, {"观测时间引导符", "observation time marker"}},
    {0xF1, "ST", "", 5, 0, {"测站编码引导符", "station address marker"}},
    {0xF2, "RGZS", "", 0, 0, {"人工置数", "manually entered text"}},
    {0xF3, "PIC", "", 0, 0, {"图片信息", "picture"}},
    {0xF4, "DRP", "mm", 1, 1, {"1小时内每5分钟时段雨量", "rain per 5 min, 12 slots of the last hour"}},
    {0xF5, "DRZ1", "m", 2, 2, {"1小时内5分钟间隔相对水位1", "relative level 1 (river; upstream side of gate or pump), 12 x 5 min"}},
    {0xF6, "DRZ2", "m", 2, 2, {"1小时内5分钟间隔相对水位2", "relative level 2 (downstream side of gate or pump), 12 x 5 min"}},
    {0xF7, "DRZ3", "m", 2, 2, {"1小时内5分钟间隔相对水位3", "relative level 3, 12 x 5 min"}},
    {0xF8, "DRZ4", "m", 2, 2, {"1小时内5分钟间隔相对水位4", "relative level 4, 12 x 5 min"}},
    {0xF9, "DRZ5", "m", 2, 2, {"1小时内5分钟间隔相对水位5", "relative level 5, 12 x 5 min"}},
    {0xFA, "DRZ6", "m", 2, 2, {"1小时内5分钟间隔相对水位6", "relative level 6, 12 x 5 min"}},
    {0xFB, "DRZ7", "m", 2, 2, {"1小时内5分钟间隔相对水位7", "relative level 7, 12 x 5 min"}},
    {0xFC, "DRZ8", "m", 2, 2, {"1小时内5分钟间隔相对水位8", "relative level 8, 12 x 5 min"}},
    {0xFD, "DATA", "", 0, 0, {"流速批量数据", "velocity/flow batch data"}},
    {0x01, "AC", "m2", 4, 2, {"断面面积", "cross-section area"}},
    {0x02, "AI", "°C", 2, 1, {"瞬时气温", "air temperature"}},
    {0x03, "C", "°C", 2, 1, {"瞬时水温", "water temperature"}},
    {0x04, "DR", "d/h/min", 3, 0, {"时间步长码", "time-step code"}},
    {0x05, "DT", "h.min", 2, 0, {"时段长", "duration (rain, diversion, pumping)"}},
    {0x06, "ED", "mm", 3, 1, {"日蒸发量", "daily evaporation"}},
    {0x07, "EJ", "mm", 3, 1, {"当前蒸发量", "current evaporation since day start"}},
    {0x08, "FL", "hPa", 3, 0, {"气压", "air pressure"}},
    {0x09, "GH", "m", 3, 2, {"闸坝、水库闸门开启高度", "gate opening height"}},
    {0x0A, "GN", "", 2, 0, {"输水设备、闸门编号", "conveyance equipment / gate group number"}},
    {0x0B, "GS", "", 1, 0, {"输水设备类别", "conveyance equipment class"}},
    {0x0C, "GT", "holes", 2, 0, {"水库、闸坝闸门开启孔数", "number of gates open"}},
    {0x0D, "GTP", "°C", 2, 1, {"地温", "ground temperature"}},
    {0x0E, "H", "m", 3, 2, {"地下水瞬时埋深", "depth to groundwater"}},
    {0x0F, "HW", "m", 3, 2, {"波浪高度", "wave height"}},
    {0x10, "M10", "%", 2, 1, {"10厘米处土壤含水量", "soil moisture at 10 cm (gravimetric)"}},
    {0x11, "M20", "%", 2, 1, {"20厘米处土壤含水量", "soil moisture at 20 cm (gravimetric)"}},
    {0x12, "M30", "%", 2, 1, {"30厘米处土壤含水量", "soil moisture at 30 cm (gravimetric)"}},
    {0x13, "M40", "%", 2, 1, {"40厘米处土壤含水量", "soil moisture at 40 cm (gravimetric)"}},
    {0x14, "M50", "%", 2, 1, {"50厘米处土壤含水量", "soil moisture at 50 cm (gravimetric)"}},
    {0x15, "M60", "%", 2, 1, {"60厘米处土壤含水量", "soil moisture at 60 cm (gravimetric)"}},
    {0x16, "M80", "%", 2, 1, {"80厘米处土壤含水量", "soil moisture at 80 cm (gravimetric)"}},
    {0x17, "M100", "%", 2, 1, {"100厘米处土壤含水量", "soil moisture at 100 cm (gravimetric)"}},
    {0x18, "MST", "%", 2, 1, {"湿度", "humidity"}},
    {0x19, "NS", "units", 1, 0, {"开机台数", "pumps running"}},
    {0x1A, "P1", "mm", 3, 1, {"1小时时段降水量", "rain in the last 1 h"}},
    {0x1B, "P2", "mm", 3, 1, {"2小时时段降水量", "rain in the last 2 h"}},
    {0x1C, "P3", "mm", 3, 1, {"3小时时段降水量", "rain in the last 3 h"}},
    {0x1D, "P6", "mm", 3, 1, {"6小时时段降水量", "rain in the last 6 h"}},
    {0x1E, "P12", "mm", 3, 1, {"12小时时段降水量", "rain in the last 12 h"}},
    {0x1F, "PD", "mm", 3, 1, {"日降水量", "daily rain"}},
    {0x20, "PJ", "mm", 3, 1, {"当前降水量", "current rain since day start"}},
    {0x21, "PN01", "mm", 3, 1, {"1分钟时段降水量", "rain in the last 1 min"}},
    {0x22, "PN05", "mm", 3, 1, {"5分钟时段降水量", "rain in the last 5 min"}},
    {0x23, "PN10", "mm", 3, 1, {"10分钟时段降水量", "rain in the last 10 min"}},
    {0x24, "PN30", "mm", 3, 1, {"30分钟时段降水量", "rain in the last 30 min"}},
    {0x25, "PR", "mm", 3, 1, {"暴雨量", "storm rain"}},
    {0x26, "PT", "mm", 3, 1, {"降水量累计值", "accumulated rain"}},
    {0x27, "Q", "m3/s", 5, 3, {"瞬时流量、抽水流量", "flow, pumped flow"}},
    {0x28, "Q1", "m3/s", 5, 3, {"取(排)水口流量1", "intake/outlet flow 1"}},
    {0x29, "Q2", "m3/s", 5, 3, {"取(排)水口流量2", "intake/outlet flow 2"}},
    {0x2A, "Q3", "m3/s", 5, 3, {"取(排)水口流量3", "intake/outlet flow 3"}},
    {0x2B, "Q4", "m3/s", 5, 3, {"取(排)水口流量4", "intake/outlet flow 4"}},
    {0x2C, "Q5", "m3/s", 5, 3, {"取(排)水口流量5", "intake/outlet flow 5"}},
    {0x2D, "Q6", "m3/s", 5, 3, {"取(排)水口流量6", "intake/outlet flow 6"}},
    {0x2E, "Q7", "m3/s", 5, 3, {"取(排)水口流量7", "intake/outlet flow 7"}},
    {0x2F, "Q8", "m3/s", 5, 3, {"取(排)水口流量8", "intake/outlet flow 8"}},
    {0x30, "QA", "m3/s", 5, 3, {"总出库流量、过闸总流量", "total outflow / total flow through gates"}},
    {0x31, "QZ", "m3/s", 5, 3, {"输水设备流量、过闸(组)流量", "flow of one device / gate group"}},
    {0x32, "SW", "10^4 t", 6, 3, {"输沙量", "sediment load"}},
    {0x33, "UC", "", 1, 0, {"风向", "wind direction code 1..16"}},
    {0x34, "UE", "level", 1, 0, {"风力(级)", "wind force (Beaufort)"}},
    {0x35, "US", "m/s", 2, 1, {"风速", "wind speed"}},
    {0x36, "VA", "m/s", 3, 3, {"断面平均流速", "mean section velocity"}},
    {0x37, "VJ", "m/s", 3, 3, {"瞬时流速", "current velocity"}},
    {0x38, "VT", "V", 2, 2, {"电源电压", "supply voltage"}},
    {0x39, "Z", "m", 4, 3, {"瞬时河道水位、潮位", "river or tide level"}},
    {0x3A, "ZB", "m", 4, 3, {"库(闸、站)下水位", "level below dam/gate/pump"}},
    {0x3B, "ZU", "m", 4, 3, {"库(闸、站)上水位", "level above dam/gate/pump"}},
    {0x3C, "Z1", "m", 4, 3, {"取(排)水口水位1", "intake/outlet level 1"}},
    {0x3D, "Z2", "m", 4, 3, {"取(排)水口水位2", "intake/outlet level 2"}},
    {0x3E, "Z3", "m", 4, 3, {"取(排)水口水位3", "intake/outlet level 3"}},
    {0x3F, "Z4", "m", 4, 3, {"取(排)水口水位4", "intake/outlet level 4"}},
    {0x40, "Z5", "m", 4, 3, {"取(排)水口水位5", "intake/outlet level 5"}},
    {0x41, "Z6", "m", 4, 3, {"取(排)水口水位6", "intake/outlet level 6"}},
    {0x42, "Z7", "m", 4, 3, {"取(排)水口水位7", "intake/outlet level 7"}},
    {0x43, "Z8", "m", 4, 3, {"取(排)水口水位8", "intake/outlet level 8"}},
    {0x44, "SQ", "kg/m3", 5, 3, {"含沙量", "sediment concentration"}},
    {0x45, "ZT", "", 4, 0, {"遥测站状态及报警信息", "station status and alarm bits"}},
    {0x46, "pH", "", 2, 2, {"pH值", "pH"}},
    {0x47, "DO", "mg/L", 2, 1, {"溶解氧", "dissolved oxygen"}},
    {0x48, "COND", "uS/cm", 3, 0, {"电导率", "conductivity"}},
    {0x49, "TURB", "NTU", 2, 0, {"浊度", "turbidity"}},
    {0x4A, "CODMN", "mg/L", 2, 1, {"高锰酸盐指数", "permanganate index"}},
    {0x4B, "REDOX", "mV", 3, 1, {"氧化还原电位", "redox potential"}},
    {0x4C, "NH4N", "mg/L", 3, 2, {"氨氮", "ammonia nitrogen"}},
    {0x4D, "TP", "mg/L", 3, 3, {"总磷", "total phosphorus"}},
    {0x4E, "TN", "mg/L", 3, 2, {"总氮", "total nitrogen"}},
    {0x4F, "TOC", "mg/L", 2, 2, {"总有机碳", "total organic carbon"}},
    {0x50, "CU", "mg/L", 4, 4, {"铜", "copper"}},
    {0x51, "ZN", "mg/L", 3, 4, {"锌", "zinc"}},
    {0x52, "SE", "mg/L", 4, 5, {"硒", "selenium"}},
    {0x53, "AS", "mg/L", 4, 5, {"砷", "arsenic"}},
    {0x54, "THG", "mg/L", 4, 5, {"总汞", "total mercury"}},
    {0x55, "CD", "mg/L", 4, 5, {"镉", "cadmium"}},
    {0x56, "PB", "mg/L", 4, 5, {"铅", "lead"}},
    {0x57, "CHLA", "mg/L", 2, 2, {"叶绿素a", "chlorophyll a"}},
    {0x58, "WP1", "kPa", 3, 2, {"水压1", "water pressure 1"}},
    {0x59, "WP2", "kPa", 3, 2, {"水压2", "water pressure 2"}},
    {0x5A, "WP3", "kPa", 3, 2, {"水压3", "water pressure 3"}},
    {0x5B, "WP4", "kPa", 3, 2, {"水压4", "water pressure 4"}},
    {0x5C, "WP5", "kPa", 3, 2, {"水压5", "water pressure 5"}},
    {0x5D, "WP6", "kPa", 3, 2, {"水压6", "water pressure 6"}},
    {0x5E, "WP7", "kPa", 3, 2, {"水压7", "water pressure 7"}},
    {0x5F, "WP8", "kPa", 3, 2, {"水压8", "water pressure 8"}},
    {0x60, "SYL1", "m3", 6, 3, {"水表1剩余水量", "water meter 1 remaining volume"}},
    {0x61, "SYL2", "m3", 6, 3, {"水表2剩余水量", "water meter 2 remaining volume"}},
    {0x62, "SYL3", "m3", 6, 3, {"水表3剩余水量", "water meter 3 remaining volume"}},
    {0x63, "SYL4", "m3", 6, 3, {"水表4剩余水量", "water meter 4 remaining volume"}},
    {0x64, "SYL5", "m3", 6, 3, {"水表5剩余水量", "water meter 5 remaining volume"}},
    {0x65, "SYL6", "m3", 6, 3, {"水表6剩余水量", "water meter 6 remaining volume"}},
    {0x66, "SYL7", "m3", 6, 3, {"水表7剩余水量", "water meter 7 remaining volume"}},
    {0x67, "SYL8", "m3", 6, 3, {"水表8剩余水量", "water meter 8 remaining volume"}},
    {0x68, "SBL1", "m3/h", 5, 2, {"水表1每小时水量", "water meter 1 hourly volume"}},
    {0x69, "SBL2", "m3/h", 5, 2, {"水表2每小时水量", "water meter 2 hourly volume"}},
    {0x6A, "SBL3", "m3/h", 5, 2, {"水表3每小时水量", "water meter 3 hourly volume"}},
    {0x6B, "SBL4", "m3/h", 5, 2, {"水表4每小时水量", "water meter 4 hourly volume"}},
    {0x6C, "SBL5", "m3/h", 5, 2, {"水表5每小时水量", "water meter 5 hourly volume"}},
    {0x6D, "SBL6", "m3/h", 5, 2, {"水表6每小时水量", "water meter 6 hourly volume"}},
    {0x6E, "SBL7", "m3/h", 5, 2, {"水表7每小时水量", "water meter 7 hourly volume"}},
    {0x6F, "SBL8", "m3/h", 5, 2, {"水表8每小时水量", "water meter 8 hourly volume"}},
    {0x70, "VTA", "V", 2, 1, {"交流A相电压", "AC voltage phase A"}},
    {0x71, "VTB", "V", 2, 1, {"交流B相电压", "AC voltage phase B"}},
    {0x72, "VTC", "V", 2, 1, {"交流C相电压", "AC voltage phase C"}},
    {0x73, "VIA", "A", 2, 1, {"交流A相电流", "AC current phase A"}},
    {0x74, "VIB", "A", 2, 1, {"交流B相电流", "AC current phase B"}},
    {0x75, "VIC", "A", 2, 1, {"交流C相电流", "AC current phase C"}},};

const std::map<std::uint16_t, ElementInfo>& elements() {
  static const auto kTable = [] {
    std::map<std::uint16_t, ElementInfo> table;
    for (const auto& row : kElementRows) {
      table[row.id] = {row.id, row.symbol, row.unit, row.bytes, row.decimals, {row.name.zh, row.name.en}};
    }
    return table;
  }();
  return kTable;
}

struct Named {
  unsigned code;
  const char* zh;
  const char* en;
};

template <std::size_t N>
Text find(const Named (&table)[N], unsigned code, Text otherwise) {  // NOLINT(modernize-avoid-c-arrays)
  const auto* found =
      std::find_if(std::begin(table), std::end(table), [&](const Named& row) { return row.code == code; });
  return found == std::end(table) ? otherwise : Text{found->zh, found->en};
}

constexpr Named kFunctions[] = {  // NOLINT(modernize-avoid-c-arrays)
    {0x2F, "链路维持报", "link keep-alive"},
    {0x30, "测试报", "test report"},
    {0x31, "均匀时段水文信息报", "uniform-interval report"},
    {0x32, "遥测站定时报", "timed report"},
    {0x33, "遥测站加报报", "threshold report"},
    {0x34, "遥测站小时报", "hourly report"},
    {0x35, "遥测站人工置数报", "manually entered report"},
    {0x36, "遥测站图片报或中心站查询图片", "picture report or query"},
    {0x37, "查询遥测站实时数据", "query of real-time data"},
    {0x38, "查询遥测站时段数据", "query of interval data"},
    {0x39, "查询遥测站人工置数", "query of the last manual entry"},
    {0x3A, "查询遥测站指定要素数据", "query of named elements"},
    {0x40, "修改遥测站基本配置表", "write the basic configuration"},
    {0x41, "读取遥测站基本配置表", "read the basic configuration"},
    {0x42, "修改遥测站运行参数配置表", "write the running parameters"},
    {0x43, "读取遥测站运行参数配置表", "read the running parameters"},
    {0x44, "查询水泵电机实时工作数据", "query of pump motor data"},
    {0x45, "查询遥测终端软件版本", "query of the software version"},
    {0x46, "查询遥测站状态和报警信息", "query of state and alarms"},
    {0x47, "初始化固态存储数据", "erase stored data"},
    {0x48, "恢复终端出厂设置", "factory reset"},
    {0x49, "修改密码", "change the password"},
    {0x4A, "设置遥测站时钟", "set the clock"},
    {0x4B, "设置遥测终端IC卡状态", "set the state of the IC card"},
    {0x4C, "控制水泵开关命令/水泵状态信息自报", "pump command or state"},
    {0x4D, "控制阀门开关命令/阀门状态信息自报", "valve command or state"},
    {0x4E, "控制闸门开关命令/闸门状态信息自报", "gate command or state"},
    {0x4F, "水量定值控制命令", "fixed-volume control"},
    {0x50, "中心站查询遥测站事件记录", "query of the event counters"},
    {0x51, "中心站查询遥测站时钟", "query of the clock"},
};

constexpr Named kClasses[] = {  // NOLINT(modernize-avoid-c-arrays)
    {'P', "降水", "rain"},
    {'H', "河道", "river"},
    {'K', "水库（湖泊）", "reservoir or lake"},
    {'Z', "闸坝", "gate or dam"},
    {'D', "泵站", "pump station"},
    {'T', "潮汐", "tide"},
    {'M', "墒情", "soil moisture"},
    {'G', "地下水", "groundwater"},
    {'Q', "水质", "water quality"},
    {'I', "取水口", "intake"},
    {'O', "排水口", "outlet"},
};

constexpr Named kParameters[] = {  // NOLINT(modernize-avoid-c-arrays)
    {0x01, "中心站地址", "centre addresses"},
    {0x02, "遥测站地址", "station address"},
    {0x03, "密码", "password"},
    {0x04, "中心站1主信道类型及地址", "main channel of centre 1"},
    {0x05, "中心站1备用信道类型及地址", "backup channel of centre 1"},
    {0x06, "中心站2主信道类型及地址", "main channel of centre 2"},
    {0x07, "中心站2备用信道类型及地址", "backup channel of centre 2"},
    {0x08, "中心站3主信道类型及地址", "main channel of centre 3"},
    {0x09, "中心站3备用信道类型及地址", "backup channel of centre 3"},
    {0x0A, "中心站4主信道类型及地址", "main channel of centre 4"},
    {0x0B, "中心站4备用信道类型及地址", "backup channel of centre 4"},
    {0x0C, "工作方式", "work mode"},
    {0x0D, "遥测站采集要素设置", "elements measured"},
    {0x0E, "中继站（集合转发站）服务地址范围", "stations a relay serves"},
    {0x0F, "遥测站通信设备识别号", "card number"},
    {0x20, "定时报时间间隔", "interval of the timed report, h"},
    {0x21, "加报时间间隔", "interval of the threshold report, min"},
    {0x22, "降水量日起始时间", "hour at which the rain day begins"},
    {0x23, "采样间隔", "sampling interval, s"},
    {0x24, "水位数据存储间隔", "interval at which levels are stored, min"},
    {0x25, "雨量计分辨力", "resolution of the rain gauge, mm"},
    {0x26, "水位计分辨力", "resolution of the level gauge, cm"},
    {0x27, "雨量加报阈值", "threshold of rain, mm"},
    {0x40, "加报水位以上加报阈值", "threshold above the alert level, m"},
    {0x41, "加报水位以下加报阈值", "threshold below the alert level, m"},
    {0x42, "流量加报阈值", "threshold of flow"},
    {0x43, "流速加报阈值", "threshold of velocity"},
    {0x44, "闸门开度加报阈值", "threshold of gate opening"},
    {0x45, "功率加报阈值", "threshold of power"},
    {0x46, "气压加报阈值", "threshold of pressure"},
    {0x47, "风速加报阈值", "threshold of wind"},
    {0x48, "水温加报阈值", "threshold of water temperature"},
    {0x8D, "流量上限", "flow limit, high"},
    {0x96, "定值控制水量", "fixed volume"},
    {0x97, "初始化固态存储数据", "erase stored data"},
    {0x98, "恢复终端出厂设置", "factory reset"},
};

}  // namespace

const ElementInfo* find_element(std::uint16_t id) {
  const auto found = elements().find(id);
  return found == elements().end() ? nullptr : &found->second;
}

const ElementInfo* find_element(std::string_view symbol) {
  static const auto kBySymbol = [] {
    std::map<std::string, const ElementInfo*, std::less<>> table;
    for (const auto& [id, info] : elements()) table.emplace(info.symbol, &info);
    return table;
  }();
  const auto found = kBySymbol.find(symbol);
  return found == kBySymbol.end() ? nullptr : found->second;
}

Text function_name(std::uint8_t function) {
  if (function >= 0xE0) return {"用户自定义", "user defined"};
  return find(kFunctions, function, {"保留", "reserved"});
}

Text class_name(char code) {
  return find(kClasses, static_cast<unsigned char>(code), {"自定义", "user defined"});
}

Text parameter_name(std::uint16_t id) {
  const auto numbered = [id](unsigned first, const char* zh, const char* en) {
    return Text{fmt::format("{}{}", zh, id - first + 1), fmt::format("{} {}", en, id - first + 1)};
  };
  if (id >= 0x28 && id <= 0x2F) return numbered(0x28, "水位基值", "level base");
  if (id >= 0x30 && id <= 0x37) return numbered(0x30, "水位修正基值", "level correction");
  if (id >= 0x38 && id <= 0x3F) return numbered(0x38, "加报水位", "alert level");
  if (id >= 0x49 && id <= 0x8C) return {"上下限", "limit"};
  if (id >= 0x8E && id <= 0x95) return numbered(0x8E, "水表充值", "recharge of water meter");
  if (id >= 0x99 && id <= 0xA0) return numbered(0x99, "水表基值", "base of water meter");
  if (id >= 0xA1 && id <= 0xA8) return numbered(0xA1, "剩余水量报警值", "remaining-water alarm of meter");
  return find(kParameters, id, {"未知参数", "unknown parameter"});
}

std::string_view control_name(std::uint8_t code) {
  switch (code) {
    case kSoh:
      return "SOH";
    case kStx:
      return "STX";
    case kEtx:
      return "ETX";
    case kEot:
      return "EOT";
    case kEnq:
      return "ENQ";
    case kAck:
      return "ACK";
    case kNak:
      return "NAK";
    case kSyn:
      return "SYN";
    case kEtb:
      return "ETB";
    case kEsc:
      return "ESC";
    default:
      return "?";
  }
}

}  // namespace hamlet::wire::sl651
