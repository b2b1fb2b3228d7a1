#include <csignal>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "drivers/stations/port.hpp"
#include "firmware/config/config.hpp"
#include "firmware/ctl/exit.hpp"
#include "firmware/ctl/probe.hpp"
#include "firmware/ctl/texts.hpp"

namespace hamlet::ctl {
namespace {

namespace stations = drivers::stations;

// What the config would say of the port.
std::string toml_of(const ProbeAsked& asked) {
  const auto quoted = [](const std::string& text) { return nlohmann::json(text).dump(); };
  if (!asked.device.empty()) {
    return fmt::format("[serial]\npath = {}\nbaud = {}\nformat = {}\n", quoted(asked.device), asked.speed,
                       quoted(asked.format));
  }
  const bool udp = !asked.udp.empty();
  return fmt::format("{} = {}\nallow = [\"0.0.0.0/0\", \"::/0\"]\nmax_connections = 64\n", udp ? "udp" : "tcp",
                     quoted(listen_address(udp ? asked.udp : asked.listen)));
}

/// Carries out one `probe sl651` or `probe hj212`. Whoever runs it sees all that comes, so it admits everybody, answers
/// nobody and bounds only how much there is: what the port of these drivers does.
class Listening final : public stations::Member {
 public:
  Listening(const Invocation& asked, ProbeStreams streams)
      : asked_{asked}, streams_{streams}, teller_{asked, streams}, signals_{io_, SIGINT, SIGTERM} {}

  int run() {
    const auto& way = asked_.probe;
    if (int{!way.device.empty()} + int{!way.listen.empty()} + int{!way.udp.empty()} != 1) {
      streams_.err << say(asked_.lang, Say::probe_no_way) << '\n';
      return kUsage;
    }
    auto document = config::Document::parse(toml_of(asked_.probe), asked_.probe.kind);
    const auto terms = stations::read_port(document.root());
    if (!document.ok()) {
      streams_.err << document.diagnostics().front().message.in(asked_.lang) << '\n';
      return kUsage;
    }
    allow_ = terms.allow;
    signals_.async_wait([this](const boost::system::error_code& failed, int) {
      if (!failed) io_.stop();
    });
    stations::Port port{io_, terms.settings, [this](stations::Port&, stations::Line& line) { return opened(line); }};
    if (!port.join(asked_.probe.kind, *this)) return kFailed;
    boost::asio::post(io_, [&] {  // behind its opening
      streams_.err << say(asked_.lang, Say::probe_listening, terms.settings.describe()) << std::endl;
    });
    io_.run();
    return !failed_ && teller_.frames() > 0 ? kOk : kFailed;
  }

  void port_failed(const std::string& /*why*/, const std::string& message) override {
    streams_.err << say(asked_.lang, Say::probe_no_listen, message) << '\n';
    failed_ = true;
    io_.stop();
  }
  void port_happened(std::string /*kind*/, nlohmann::json /*detail*/) override {}
  [[nodiscard]] const stations::Admission& allow() const override { return allow_; }
  [[nodiscard]] drivers::Recorder* recorder() const override { return nullptr; }

 private:
  class Heard final : public stations::Session {
   public:
    Heard(Listening& listening, std::string address) : listening_{listening}, address_{std::move(address)} {}
    void received(std::string_view bytes) override {
      unread_ += bytes;
      listening_.teller_.take(unread_, address_);
      const auto most = static_cast<std::size_t>(listening_.asked_.probe.count);
      if (most > 0 && listening_.teller_.frames() >= most) listening_.io_.stop();
    }
    [[nodiscard]] bool waiting() const override { return false; }  // a technician who types has time
    void gave_up() override {}

   private:
    Listening& listening_;
    std::string address_;
    std::string unread_;
  };

  std::unique_ptr<stations::Session> opened(stations::Line& line) {
    line.identify();  // all may stay
    if (line.address()) streams_.err << say(asked_.lang, Say::probe_connected, line.peer()) << std::endl;
    return std::make_unique<Heard>(*this, line.address() ? line.address()->to_string() : std::string{});
  }

  const Invocation& asked_;
  ProbeStreams streams_;
  FrameTeller teller_;
  boost::asio::io_context io_{1};
  boost::asio::signal_set signals_;
  stations::Admission allow_;
  bool failed_ = false;
};

}  // namespace

int probe_listen(const Invocation& asked, ProbeStreams streams) { return Listening{asked, streams}.run(); }

}  // namespace hamlet::ctl
