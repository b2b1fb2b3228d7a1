#include "tests/support/modem.hpp"

#include <stdexcept>
#include <utility>

#include <poll.h>

namespace hamlet::support {
namespace {

void append_utf8(std::string& out, char32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

std::string from_utf16(const std::vector<unsigned>& octets, std::size_t from) {
  std::string out;
  for (std::size_t i = from; i + 1 < octets.size(); i += 2) {
    char32_t code = octets[i] << 8 | octets[i + 1];
    if (code >= 0xD800 && code < 0xDC00 && i + 3 < octets.size()) {
      code = 0x10000 + ((code - 0xD800) << 10) + ((octets[i + 2] << 8 | octets[i + 3]) - 0xDC00);
      i += 2;
    }
    append_utf8(out, code);
  }
  return out;
}

std::vector<unsigned> octets_of(std::string_view hex) {
  std::vector<unsigned> out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<unsigned>(std::stoul(std::string{hex.substr(i, 2)}, nullptr, 16)));
  }
  return out;
}

std::string septets(const std::vector<unsigned>& octets, std::size_t first, std::size_t count) {
  std::string out;
  for (std::size_t i = first; i < count; ++i) {
    const auto bit = i * 7;
    const unsigned low = octets.at(bit / 8);
    const unsigned high = bit / 8 + 1 < octets.size() ? octets[bit / 8 + 1] : 0;
    const unsigned septet = ((low | high << 8) >> (bit % 8)) & 0x7F;
    out += septet == 0 ? '@' : septet == 2 ? '$' : septet == 0x11 ? '_' : static_cast<char>(septet);
  }
  return out;
}

}  // namespace

SimulatedModem::Message decode_submit(std::string_view hex, std::size_t length) {
  const auto all = octets_of(hex);
  if (all.empty() || all[0] != 0 || all.size() != length + 1) throw std::runtime_error{"the length is wrong"};
  std::size_t at = 1;
  const auto next = [&] { return all.at(at++); };
  SimulatedModem::Message out;
  const auto first = next();
  if ((first & 3) != 1) throw std::runtime_error{"no SUBMIT"};
  (void)next();
  const auto digits = next();
  if (next() == 0x91) out.number = "+";
  for (unsigned i = 0; i < digits; i += 2) {
    const auto pair = next();
    out.number += static_cast<char>('0' + (pair & 0xF));
    if (i + 1 < digits) out.number += static_cast<char>('0' + (pair >> 4));
  }
  (void)next();
  const auto coding = next();
  if ((first & 0x18) == 0x10) (void)next();
  const auto count = next();
  const std::vector<unsigned> data(all.begin() + static_cast<std::ptrdiff_t>(at), all.end());
  const std::size_t header = (first & 0x40) != 0 ? data.at(0) + 1 : 0;
  if (header > 0) {
    if (data.at(1) != 0 || data.at(2) != 3) throw std::runtime_error{"no header of parts"};
    out.parts = static_cast<int>(data.at(4));
    out.part = static_cast<int>(data.at(5));
  }
  if (coding == 8) {
    if (count != data.size() || count > 140) throw std::runtime_error{"the data's length is wrong"};
    out.text = from_utf16(data, header);
  } else {
    if ((count * 7 + 7) / 8 != data.size() || count > 160) throw std::runtime_error{"the data's length is wrong"};
    out.text = septets(data, (header * 8 + 6) / 7, count);
  }
  return out;
}

SimulatedModem::SimulatedModem() : thread_{[this] { run(); }} {}

SimulatedModem::~SimulatedModem() {
  stop_ = true;
  thread_.join();
}

std::vector<SimulatedModem::Message> SimulatedModem::messages() const {
  const std::lock_guard lock{mutex_};
  return messages_;
}

std::vector<std::string> SimulatedModem::commands() const {
  const std::lock_guard lock{mutex_};
  return commands_;
}

void SimulatedModem::say(std::string_view line) const {
  pty_.say("\r\n" + std::string{line} + "\r\n");
}

bool SimulatedModem::pause(int ms) const {
  for (; ms > 0 && !stop_; ms -= 20) ::poll(nullptr, 0, 20);
  return !stop_;
}

void SimulatedModem::run() {
  std::string line;
  while (!stop_) {
    pollfd in{pty_.descriptor(), POLLIN, 0};
    if (::poll(&in, 1, 20) <= 0) continue;
    for (const char c : pty_.heard()) {
      if (fault_ == Fault::silent) {
        line.clear();
        continue;
      }
      if (!waiting_for_text_.empty()) {
        if (c == '\x1A') {
          take_message(line);
          line.clear();
        } else if (c == '\x1B') {
          waiting_for_text_.clear();
          line.clear();
          say("OK");
        } else {
          line += c;
        }
      } else if (c == '\r') {
        if (echo_) pty_.say(line + "\r");
        take(std::exchange(line, {}));
      } else if (c >= ' ') {
        line += c;
      }
    }
  }
}

void SimulatedModem::take(std::string_view line) {
  {
    const std::lock_guard lock{mutex_};
    commands_.emplace_back(line);
  }
  const auto fault = fault_.load();
  if (fault == Fault::slow && !pause(1000)) return;
  if (line == "AT+CPIN?") {
    say(fault == Fault::sim_pin ? "+CPIN: SIM PIN" : "+CPIN: READY");
  } else if (line == "AT+CREG?") {
    say(fault == Fault::no_network ? "+CREG: 0,2" : "+CREG: 0,1");
  } else if (line == "AT+CEREG?" || line == "AT+CGREG?") {
    return say("ERROR");
  } else if (line == "AT+CSQ") {
    say("^RSSI: 17");  // unasked
    say("+CSQ: 17,99");
  } else if (line == "AT+CMGF=1") {
    text_mode_ = true;
  } else if (line == "AT+CMGF=0") {
    text_mode_ = false;
  } else if (line == "AT+CSCS=\"UCS2\"") {
    ucs2_ = true;
  } else if (line == "AT+CSCS=\"GSM\"") {
    ucs2_ = false;
  } else if (line.starts_with("AT+CSMP=")) {
    wide_text_ = line.ends_with(",8");
  } else if (line.starts_with("AT+CMGS=")) {
    if (fault == Fault::no_prompt) return;
    waiting_for_text_ = line.substr(8);
    pty_.say("\r\n> ");
    return;
  } else if (line == "ATE0") {
    echo_ = false;
  } else if (!line.starts_with("AT")) {
    return;
  }
  say("OK");
}

void SimulatedModem::take_message(const std::string& body) {
  const auto argument = std::exchange(waiting_for_text_, {});
  const auto fault = fault_.load();
  if (fault == Fault::slow && !pause(3000)) return;
  if (fault == Fault::error) return say("ERROR");
  if (fault == Fault::cms_error) return say("+CMS ERROR: 38");
  if (fault == Fault::busy_once && !std::exchange(was_busy_, true)) return say("+CMS ERROR: 42");
  try {
    Message message;
    if (text_mode_) {
      message.number = argument.substr(1, argument.size() - 2);
      message.text = body;
      if (ucs2_ != wide_text_) throw std::runtime_error{"coding and character set differ"};
      if (ucs2_) {
        message.number = from_utf16(octets_of(message.number), 0);
        message.text = from_utf16(octets_of(body), 0);
      }
    } else {
      message = decode_submit(body, std::stoul(argument));
    }
    const std::lock_guard lock{mutex_};
    messages_.push_back(std::move(message));
  } catch (const std::exception&) {
    return say("+CMS ERROR: 304");
  }
  say("+CMTI: \"SM\",1");  // unasked
  say("+CMGS: 7");
  say("OK");
}

}  // namespace hamlet::support
