// What acts: pins, a coil, a modem, a loudspeaker, a program.

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sndfile.h>

#include "drivers/gpio/gpio.hpp"
#include "drivers/sms/at.hpp"
#include "drivers/sms/pdu.hpp"
#include "tests/integration/drivers/rig.hpp"
#include "tests/support/modem.hpp"
#include "tests/support/process.hpp"

namespace {

using namespace hamlet;
using namespace std::chrono_literals;
using drivers::Rig;
using support::SimulatedModem;

// Sets an output and waits for the answer.
Status set(Rig& rig, std::string_view output, const Value& value) {
  auto* const target = rig.drivers->output(output);
  REQUIRE(target != nullptr);
  auto answer = std::make_shared<std::optional<Status>>();
  target->set(value, [answer](const Status& status) { *answer = status; });
  REQUIRE(rig.run_until([&] { return answer->has_value(); }, 40s));
  return **answer;
}

std::string why_down(Rig& rig) {
  for (const auto& event : rig.events) {
    if (event.kind == "down") return event.detail.value("why", "") + ": " + event.detail.value("message", "");
  }
  return {};
}

}  // namespace

// ---- messages
// ----------------------------------------------------------------------------------------------------------

TEST_CASE("short messages: numbers, alphabets and parts as a phone shows them") {
  namespace sms = drivers::sms;
  const auto decode = [](const std::string& number, const std::string& text) {
    std::string out;
    std::string whole;
    for (const auto& pdu : sms::make_pdus(number, text, 9)) {
      const auto part = support::decode_submit(pdu.hex, pdu.length);
      CHECK(part.number == number);
      out = fmt::format("{}/{}", part.part, part.parts);
      whole += part.text;
    }
    return out + " " + whole;
  };
  CHECK(decode("+8613800138000", "River is high (4.2 m) @ $1_") == "1/1 River is high (4.2 m) @ $1_");
  CHECK(decode("10086", "双江口村：河道水位过高😀") == "1/1 双江口村：河道水位过高😀");
  CHECK(decode("123", std::string(160, 'a')) == "1/1 " + std::string(160, 'a'));
  CHECK(decode("123", std::string(161, 'a')) == "2/2 " + std::string(161, 'a'));
  CHECK(decode("123", std::string(4 * 153, 'b')) == "4/4 " + std::string(4 * 153, 'b'));
  CHECK(decode("123", std::string(4 * 153 + 1, 'b')) == "4/4 " + std::string(4 * 153 - 1, 'b') + ".");
  std::string wide;
  for (int i = 0; i < 70; ++i) wide += "水";
  CHECK(decode("+861", wide) == "1/1 " + wide);
  wide += "位";
  CHECK(decode("+861", wide) == "2/2 " + wide);
  CHECK(decode("+861", "坏\xFF字") == "1/1 坏?字");
  CHECK(sms::is_number("+8613800138000"));
  CHECK_FALSE(sms::is_number("138-0013"));
  CHECK_FALSE(sms::is_number("+"));
}

TEST_CASE("what a modem says is cut into lines, whatever it says") {
  drivers::sms::AtLines lines;
  lines.feed("\r\nOK\r\n+CSQ: 1");
  CHECK(lines.next() == "OK");
  CHECK_FALSE(lines.next());
  lines.feed("7,99\r\n\r\n> ");
  CHECK(lines.next() == "+CSQ: 17,99");
  CHECK(lines.prompted());
  lines.forget();
  lines.feed(std::string(100'000, 'x'));
  for (int i = 0; i < 1000; ++i) lines.feed("a\n");
  std::size_t count = 0;
  while (const auto line = lines.next()) {
    CHECK(line->size() <= 513);
    ++count;
  }
  CHECK(count <= 64);
  CHECK(drivers::sms::final_of("+CMS ERROR: 38")->error == "+CMS ERROR: 38 (the network is out of order)");
  CHECK(drivers::sms::final_of("+CME ERROR: 10")->error == "+CME ERROR: 10 (no SIM card)");
  CHECK(drivers::sms::final_of("+CMS ERROR: x")->error == "+CMS ERROR: x");
  CHECK_FALSE(drivers::sms::final_of("+CMTI: 1"));
}

namespace {

std::string modem_config(const SimulatedModem& modem, std::string_view more = {}) {
  return fmt::format(R"([[device]]
id = "modem"
driver = "sms"
path = "{}"
timeout = "2s"
{}
[[device.point]]
id = "signal"
what = "signal"
unit = "dBm"
[[device.output]]
id = "duty"
to = ["+8613800138000", "10086"]
)",
                     modem.path(), more);
}

}  // namespace

TEST_CASE("a message goes to every number, in PDU and in text mode") {
  SimulatedModem modem;
  const support::TempDir folder;
  const auto file = folder.path() / "modem.frames";
  std::string mode;
  SUBCASE("pdu") {
    mode = "mode = \"pdu\"";
  }
  SUBCASE("text") {
    mode = "mode = \"text\"";
  }
  Rig rig{modem_config(modem, fmt::format("{}\nrecord = \"{}\"", mode, file.string()))};
  REQUIRE(rig.run_until([&] { return rig.count("modem.signal") == 1; }));
  CHECK(rig.of("modem.signal")[0].value == Value{-79.0});
  CHECK(rig.state() == "up");
  CHECK(set(rig, "modem.duty", std::string{"双江口村：水位过高（4.2）"}));
  CHECK(set(rig, "modem.duty", std::string{"Level is high"}));
  const auto sent = modem.messages();
  REQUIRE(sent.size() == 4);
  CHECK(sent[0].number == "+8613800138000");
  CHECK(sent[0].text == "双江口村：水位过高（4.2）");
  CHECK(sent[1].number == "10086");
  CHECK(sent[3].text == "Level is high");
  rig.drivers.reset();  // what is recorded is on the disk now
  const auto frames = drivers::read_recording(file);
  REQUIRE(frames);
  const auto is = [](bool out, std::string_view text) {
    return [out, text](const auto& each) { return each.sent == out && each.bytes.find(text) != std::string::npos; };
  };
  CHECK(std::any_of(frames->begin(), frames->end(), is(true, "AT+CMGS=")));
  CHECK(std::any_of(frames->begin(), frames->end(), is(false, "+CSQ:")));
}

TEST_CASE("a modem that does not send says why, and works again when it can") {
  SimulatedModem modem;
  std::string wanted;
  SUBCASE("silent") {
    modem.set_fault(SimulatedModem::Fault::silent);
    wanted = "timeout: the modem on ";
  }
  SUBCASE("error") {
    modem.set_fault(SimulatedModem::Fault::error);
    wanted = "failed: the modem answers AT+CMGS=";
  }
  SUBCASE("cms error") {
    modem.set_fault(SimulatedModem::Fault::cms_error);
    wanted = "the network is out of order";
  }
  SUBCASE("no network") {
    modem.set_fault(SimulatedModem::Fault::no_network);
    wanted = "unavailable: the modem finds no network";
  }
  SUBCASE("the card's PIN") {
    modem.set_fault(SimulatedModem::Fault::sim_pin);
    wanted = "denied: the SIM card says \"+CPIN: SIM PIN\"";
  }
  SUBCASE("no prompt") {
    modem.set_fault(SimulatedModem::Fault::no_prompt);
    wanted = "does not ask for the text";
  }
  Rig rig{modem_config(modem)};
  const auto failed = set(rig, "modem.duty", std::string{"x"});
  REQUIRE_FALSE(failed);
  CHECK(why_down(rig).find(wanted) != std::string::npos);
  CHECK(rig.state() == "down");
  modem.set_fault(SimulatedModem::Fault::none);
  CHECK(set(rig, "modem.duty", std::string{"x"}));
  CHECK(rig.state() == "up");
}

TEST_CASE("one number that is refused does not hold up the others; a slow modem is waited for") {
  SimulatedModem modem;
  SUBCASE("busy once") {
    modem.set_fault(SimulatedModem::Fault::busy_once);
    Rig rig{modem_config(modem)};
    CHECK(set(rig, "modem.duty", std::string{"x"}));
    CHECK(modem.messages().size() == 1);
  }
  SUBCASE("slow; and it is not waited for at the end") {
    Rig rig{modem_config(modem, "mode = \"text\"")};
    REQUIRE(rig.run_until([&] { return rig.state() == "up"; }));
    modem.set_fault(SimulatedModem::Fault::slow);
    rig.drivers->output("modem.duty")->set(std::string{"x"}, [](const Status&) { FAIL("after stop()"); });
    REQUIRE(rig.run_until([&] { return modem.commands().back().starts_with("AT+CMGS"); }, 30s));
    rig.drivers->stop();  // the test's own time limit would show a hang
    CHECK(modem.messages().empty());
  }
}

TEST_CASE("more orders than are taken are refused") {
  SimulatedModem modem;
  modem.set_fault(SimulatedModem::Fault::silent);
  Rig rig{modem_config(modem)};
  int full = 0;
  for (int i = 0; i < 40; ++i) {
    rig.drivers->output("modem.duty")->set(std::string{"x"}, [&](const Status& status) {
      full += !status && status.error().code == Errc::full ? 1 : 0;
    });
  }
  REQUIRE(rig.run_until([&] { return full >= 20; }));
  rig.drivers->stop();
}

// ---- a program
// ---------------------------------------------------------------------------------------------------------

TEST_CASE("a program is run without a shell, with a deadline and nothing of our environment") {
  support::TempDir dir;
  const auto file = (dir.path() / "seen").string();
  Rig rig{fmt::format(R"toml([[device]]
id = "run"
driver = "program"
deadline = "2s"
[[device.output]]
id = "lamp"
on = ["/bin/sh", "-c", "env > {0}; echo $0 >> {0}", "a; $(b)"]
off = ["/bin/rm", "{0}"]
[[device.output]]
id = "say"
text = ["/usr/bin/tee", "{0}.said"]
[[device.output]]
id = "bad"
on = ["/bin/sh", "-c", "yes | head -c 10000000; echo; echo no lamp; exit 3"]
[[device.output]]
id = "hangs"
on = ["/bin/sh", "-c", "sleep 1000 & sleep 1000"]
[[device.output]]
id = "gone"
on = ["/no/such/program"]
)toml",
                      file)};
  CHECK(set(rig, "run.lamp", true));
  std::string text;
  {
    std::ifstream in{file};
    text.assign(std::istreambuf_iterator<char>{in}, {});
  }
  CHECK(text.find("a; $(b)\n") != std::string::npos);  // one word, as it was written
  CHECK(text.find("PATH=/usr/local/sbin") != std::string::npos);
  CHECK(text.find("HOME=") == std::string::npos);
  CHECK(text.find("HAMLET_SOURCE=") == std::string::npos);
  CHECK(rig.state() == "up");
  CHECK(set(rig, "run.lamp", false));
  CHECK_FALSE(std::filesystem::exists(file));
  CHECK(set(rig, "run.say", std::string{"水位高"}));
  {
    std::ifstream in{file + ".said"};
    text.assign(std::istreambuf_iterator<char>{in}, {});
  }
  CHECK(text == "水位高\n");
  const auto bad = set(rig, "run.bad", true);
  REQUIRE_FALSE(bad);
  CHECK(bad.error().message == "/bin/sh ended with 3: no lamp");
  CHECK(rig.state() == "down");
  const auto hangs = set(rig, "run.hangs", true);
  REQUIRE_FALSE(hangs);
  CHECK(hangs.error().code == Errc::timeout);
  const auto gone = set(rig, "run.gone", true);
  REQUIRE_FALSE(gone);
  CHECK(gone.error().code == Errc::not_found);
  // It ends with us, too.
  rig.drivers->output("run.hangs")->set(true, [](const Status&) { FAIL("after stop()"); });
  rig.drivers->stop();
}

// ---- a loudspeaker
// -----------------------------------------------------------------------------------------------------

namespace {

void record(const std::filesystem::path& file, int seconds) {
  SF_INFO info{};
  info.samplerate = 8000;
  info.channels = 1;
  info.format = SF_FORMAT_WAV | SF_FORMAT_PCM_16;
  auto* const out = sf_open(file.c_str(), SFM_WRITE, &info);
  REQUIRE(out != nullptr);
  std::vector<short> samples(static_cast<std::size_t>(8000 * seconds), 1000);
  sf_writef_short(out, samples.data(), static_cast<sf_count_t>(samples.size()));
  sf_close(out);
}

}  // namespace

TEST_CASE("a recorded message is played until it is told to stop") {
  support::TempDir dir;
  record(dir.path() / "flood.wav", 1);
  const auto heard = dir.path() / "heard.raw";
  // ALSA's own file plugin in place of a sound card.
  Rig rig{fmt::format(R"([[device]]
id = "horn"
driver = "speaker"
pcm = "file:'{0}',raw"
[[device.output]]
id = "flood"
file = "{1}/flood.wav"
pause = "100ms"
[[device.output]]
id = "gone"
file = "{1}/gone.wav"
)",
                      heard.string(), dir.path().string())};
  const auto gone = set(rig, "horn.gone", true);
  REQUIRE_FALSE(gone);
  CHECK(gone.error().message.find("gone.wav") != std::string::npos);
  CHECK(rig.state() == "down");
  REQUIRE(set(rig, "horn.flood", true));
  CHECK(rig.state() == "up");
  CHECK(set(rig, "horn.flood", true));  // nothing new
  std::error_code none;
  REQUIRE(rig.run_until([&] { return std::filesystem::file_size(heard, none) >= 16'000 && !none; }));
  CHECK(set(rig, "horn.flood", false));
  CHECK(set(rig, "horn.flood", true));
  rig.drivers->stop();
  std::ifstream in{heard, std::ios::binary};
  short sample = 0;
  in.read(reinterpret_cast<char*>(&sample), sizeof sample);
  CHECK(sample == 1000);
}

TEST_CASE("a sound device that is not there says so") {
  support::TempDir dir;
  record(dir.path() / "flood.wav", 1);
  Rig rig{
      fmt::format("[[device]]\nid = \"horn\"\ndriver = \"speaker\"\npcm = \"hw:77\"\n[[device.output]]\nid = "
                  "\"flood\"\nfile = \"{}/flood.wav\"\n",
                  dir.path().string())};
  const auto failed = set(rig, "horn.flood", true);
  REQUIRE_FALSE(failed);
  CHECK(failed.error().message.find("hw:77") != std::string::npos);
  CHECK_FALSE(set(rig, "horn.flood", true));  // tried anew
}

// ---- pins
// --------------------------------------------------------------------------------------------------------------

namespace {

struct Wire {
  std::map<unsigned, bool> level;
  bool broken = false;
  int taken = 0;
};

class FakeDriven final : public drivers::gpio::DrivenPin {
 public:
  FakeDriven(Wire& wire, unsigned line, bool on) : wire_{wire}, line_{line} {
    ++wire_.taken;
    wire_.level[line_] = on;
  }
  Status set(bool on) override {
    if (wire_.broken) return fail(Errc::unavailable, "no line");
    wire_.level[line_] = on;
    return {};
  }

 private:
  Wire& wire_;
  unsigned line_;
};

struct Silent final : drivers::Report {
  std::string state = "starting";
  void answered(std::vector<Reading>) override { state = "up"; }
  void failed(std::string why, std::string) override { state = std::move(why); }
  void happened(std::string, nlohmann::json) override {}
  void pictured(std::string, nlohmann::json, std::string) override {}
  void when_durable(std::function<void(Status)>) override {}
};

}  // namespace

TEST_CASE("a pin is taken with its first value, and anew where it was lost") {
  namespace gpio = drivers::gpio;
  Wire wire;
  const auto drive = [&](const gpio::DrivenSettings& settings, bool on) -> Result<std::unique_ptr<gpio::DrivenPin>> {
    if (wire.broken) return fail(Errc::not_found, "no chip");
    return std::make_unique<FakeDriven>(wire, settings.pin.line, on);
  };
  boost::asio::io_context io;
  SystemClock clock;
  Silent heard;
  drivers::Commons commons;
  const drivers::Memory memory;
  gpio::Settings settings{.period = 1h, .interval = 0ms, .points = {}};
  settings.outputs["siren"] = {.pin = {.chip = "gpiochip0", .line = 5}};
  auto device = gpio::make_device(settings, {}, drive, {io, clock, heard, commons, memory, nullptr});
  device->start();
  CHECK(wire.level.empty());
  CHECK(device->output("lamp") == nullptr);
  const auto set_to = [&](bool on) {
    std::optional<Status> answer;
    device->output("siren")->set(on, [&](const Status& status) { answer = status; });
    CHECK_FALSE(answer);  // not from inside
    io.restart();
    io.poll();
    REQUIRE(answer);
    return *answer;
  };
  CHECK(set_to(true));
  CHECK(wire.level[5]);
  CHECK(heard.state == "up");
  wire.broken = true;
  CHECK_FALSE(set_to(false));
  CHECK(heard.state == "no-pin");
  wire.broken = false;
  CHECK(set_to(false));
  CHECK_FALSE(wire.level[5]);
  CHECK(wire.taken == 2);
  device->stop();
}
