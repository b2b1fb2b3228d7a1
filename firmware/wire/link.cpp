#include "firmware/wire/link.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <string_view>
#include <utility>

#include <arpa/inet.h>
#include <boost/asio/post.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "firmware/wire/texts.hpp"

namespace hamlet::wire {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kSlice{100};  // how soon `cancelled` is seen
constexpr std::chrono::milliseconds kAlertWait{300};
constexpr std::chrono::milliseconds kPortalWait{1'500};

template <class T, void (*Free)(T*)>
struct Freed {
  void operator()(T* it) const { Free(it); }
};
using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX, SSL_CTX_free>>;
using Ssl = std::unique_ptr<SSL, Freed<SSL, SSL_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509, X509_free>>;

std::optional<WallTime> time_of(const ASN1_TIME* at) {
  std::tm tm{};
  if (at == nullptr || ASN1_TIME_to_tm(at, &tm) != 1) return {};
  return WallTime{std::chrono::seconds{timegm(&tm)}};
}

std::string day(WallTime at) { return to_iso_utc(at).substr(0, 10); }
WallTime now_by_the_system() { return std::chrono::floor<Millis>(std::chrono::system_clock::now()); }

std::string openssl_says() {
  std::array<char, 200> text{};
  const auto code = ERR_peek_last_error();
  if (code == 0) return "the connection was closed";
  if (const char* reason = ERR_reason_error_string(code)) return reason;
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

/// A TCP connection whose every wait ends.
class Connection {
 public:
  Connection(Clock::time_point until, const std::atomic<bool>& cancelled) : until_{until}, cancelled_{cancelled} {}
  ~Connection() {
    if (fd_ >= 0) ::close(fd_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

  /// In place of the one before. 0, or an errno; ETIMEDOUT at the deadline.
  int open(const std::string& address, std::uint16_t port) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return EINVAL;
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned{found, &freeaddrinfo};
    if (fd_ >= 0) ::close(fd_);
    fd_ = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0) return errno;
    if (::connect(fd_, found->ai_addr, found->ai_addrlen) == 0) return 0;
    if (errno != EINPROGRESS) return errno;
    if (!wait(POLLOUT, until_)) return ETIMEDOUT;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
  }

  bool wait(short events, Clock::time_point until) const {
    until = std::min(until, until_);
    while (!cancelled_) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
      if (left.count() <= 0) return false;
      pollfd one{fd_, events, 0};
      if (::poll(&one, 1, static_cast<int>(std::min(left, kSlice).count())) > 0) return true;
    }
    return false;
  }

 private:
  const Clock::time_point until_;
  const std::atomic<bool>& cancelled_;
  int fd_ = -1;
};

constexpr std::string_view kAsk = "GET / HTTP/1.0\r\n\r\n";

bool is_http(std::string_view answer) { return answer == "HTTP/"; }

/// Whether what is asked like a web server answers like one. A broker closes.
bool web_server(const Connection& link, Millis patience) {
  if (::send(link.fd(), kAsk.data(), kAsk.size(), MSG_NOSIGNAL) < 0) return false;
  if (!link.wait(POLLIN, Clock::now() + patience)) return false;
  std::array<char, 5> answer{};
  return ::recv(link.fd(), answer.data(), answer.size(), 0) == 5 && is_http({answer.data(), answer.size()});
}

/// Our own side of TLS; false: `report.trouble` says which file is wrong.
bool load_files(SSL_CTX* context, const TlsFiles& tls, LinkReport& report) {
  const auto unusable = [&](std::string_view key, const std::filesystem::path& file) {
    report.trouble = LinkError{Errc::invalid, "tls-files", texts::file_unusable(key, file.string())};
    return false;
  };
  if (tls.ca.empty()) {
    SSL_CTX_set_default_verify_paths(context);
  } else if (SSL_CTX_load_verify_locations(context, tls.ca.c_str(), nullptr) != 1) {
    return unusable("ca", tls.ca);
  }
  if (tls.cert.empty()) return true;
  if (SSL_CTX_use_certificate_chain_file(context, tls.cert.c_str()) != 1) return unusable("cert", tls.cert);
  if (SSL_CTX_use_PrivateKey_file(context, tls.key.c_str(), SSL_FILETYPE_PEM) != 1) return unusable("key", tls.key);
  report.own_expires = time_of(X509_get0_notAfter(SSL_CTX_get0_certificate(context)));
  const WallTime now = now_by_the_system();
  if (report.own_expires && *report.own_expires < now) {
    report.trouble = LinkError{Errc::denied, "own-cert-expired", texts::own_cert_expired(tls.cert.string(), day(*report.own_expires))};
    return false;
  }
  return true;
}

/// What is wrong with the broker's certificate; nothing: it is good.
std::optional<LinkError> judge(SSL* ssl, const BrokerAddress& broker, LinkReport& report) {
  const Certificate peer{SSL_get1_peer_certificate(ssl)};
  if (!peer) return LinkError{Errc::denied, "cert-untrusted", texts::cert_untrusted(broker.host, "it shows none")};
  report.expires = time_of(X509_get0_notAfter(peer.get()));
  const auto from = time_of(X509_get0_notBefore(peer.get()));
  const WallTime now = now_by_the_system();
  const auto result = SSL_get_verify_result(ssl);
  switch (result) {
    case X509_V_OK:
      return {};
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return LinkError{Errc::denied, "cert-expired", texts::cert_expired(broker.host, day(report.expires.value_or(now)), day(now))};
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return LinkError{Errc::denied, "cert-not-yet-valid", texts::cert_not_yet(broker.host, day(from.value_or(now)), day(now))};
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return LinkError{Errc::denied, "cert-name", texts::cert_name(broker.host)};
    default:
      return LinkError{Errc::denied, "cert-untrusted", texts::cert_untrusted(broker.host, X509_verify_cert_error_string(result))};
  }
}

/// One step of OpenSSL's until it is through. False: SSL_get_error() is in `error`, or the deadline has passed.
template <class Step>
bool drive(SSL* ssl, const Connection& link, Clock::time_point until, int& error, Step step) {
  for (;;) {
    ERR_clear_error();
    const int done = step();
    if (done > 0) return true;
    error = SSL_get_error(ssl, done);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return false;
    if (!link.wait(error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, until)) return false;
  }
}

/// The same through TLS, whoever answers there: nothing but the question is sent.
bool web_server(SSL* ssl, const Connection& link, Millis patience) {
  const auto until = Clock::now() + patience;
  int error = 0;
  std::array<char, 5> answer{};
  return drive(ssl, link, until, error, [ssl] { return SSL_write(ssl, kAsk.data(), static_cast<int>(kAsk.size())); }) &&
         drive(ssl, link, until, error, [&] { return SSL_read(ssl, answer.data(), static_cast<int>(answer.size())); }) &&
         is_http({answer.data(), answer.size()});
}

}  // namespace

LinkReport check_link(const std::string& address, const BrokerAddress& broker, const TlsFiles& tls, Millis deadline,
                      const std::atomic<bool>& cancelled) {
  LinkReport report;
  const auto began = Clock::now();
  const auto until = began + deadline;
  const auto took = [](Clock::time_point since) { return std::chrono::duration_cast<Millis>(Clock::now() - since); };
  const std::string where = fmt::format("{}:{}", address, broker.port);
  Connection link{until, cancelled};
  if (const int error = link.open(address, broker.port); error != 0) {
    report.trouble = error == ETIMEDOUT ? LinkError{Errc::timeout, "no-answer", texts::no_answer(where, to_string(took(began)))}
                                        : LinkError{Errc::unavailable, "not-reached", texts::not_reached(where, std::generic_category().message(error))};
    return report;
  }
  report.connect_took = took(began);
  const Millis there_and_back = 2 * *report.connect_took;  // with some patience
  const Millis portal_wait = std::max(kPortalWait, there_and_back);
  const auto portal = [&] { return LinkError{Errc::unavailable, "portal", texts::portal(where)}; };
  if (!broker.tls) {
    if (web_server(link, portal_wait)) report.trouble = portal();
    return report;
  }

  const Context context{SSL_CTX_new(TLS_client_method())};
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  if (!load_files(context.get(), tls, report)) return report;
  const Ssl ssl{SSL_new(context.get())};
  SSL_set_verify(ssl.get(), SSL_VERIFY_NONE, nullptr);  // it is judged, below, and nothing of ours is sent over this connection
  std::array<unsigned char, sizeof(in6_addr)> numeric{};
  if (inet_pton(AF_INET, broker.host.c_str(), numeric.data()) == 1 || inet_pton(AF_INET6, broker.host.c_str(), numeric.data()) == 1) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), broker.host.c_str());
  } else {
    SSL_ctrl(ssl.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, const_cast<char*>(broker.host.c_str()));  // SNI
    SSL_set1_host(ssl.get(), broker.host.c_str());
  }
  SSL_set_fd(ssl.get(), link.fd());
  const auto handshake = Clock::now();
  int error = 0;
  // Some web servers wait for the end of what they take for a request: time is left to ask such a one.
  if (!drive(ssl.get(), link, until - portal_wait - there_and_back, error, [&] { return SSL_connect(ssl.get()); })) {
    const bool silent = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
    const std::string why = silent ? "no answer" : openssl_says();
    report.trouble = link.open(address, broker.port) == 0 && web_server(link, portal_wait)
                         ? portal()
                         : LinkError{Errc::unavailable, "tls", texts::tls_failed(where, why)};
    return report;
  }
  report.tls_took = took(handshake);
  report.trouble = judge(ssl.get(), broker, report);
  // Whoever intercepts the connection shows a certificate of his own.
  if (report.trouble && web_server(ssl.get(), link, portal_wait)) report.trouble = portal();
  // By TLS 1.3 a refusal of our own certificate comes after the handshake.
  std::array<char, 1> byte{};
  if (!report.trouble && !drive(ssl.get(), link, Clock::now() + std::max(kAlertWait, there_and_back), error, [&] { return SSL_read(ssl.get(), byte.data(), 1); }) &&
      error == SSL_ERROR_SSL) {
    report.trouble = LinkError{Errc::denied, "own-cert-refused", texts::own_cert_refused(where)};
  }
  return report;
}

LinkChecker::LinkChecker(boost::asio::io_context& io) : io_{io} {}

LinkChecker::~LinkChecker() {
  cancelled_ = true;
  here_.reset();
  worker_.stop(Worker::Drain::no);
}

bool LinkChecker::check(std::string address, BrokerAddress broker, TlsFiles tls, Millis deadline, std::function<void(LinkReport)> then) {
  if (busy_) return false;
  busy_ = worker_.post([this, here = std::weak_ptr{here_}, address = std::move(address), broker = std::move(broker), tls = std::move(tls), deadline,
                        then = std::move(then)] {
    boost::asio::post(io_, [this, here, then, report = check_link(address, broker, tls, deadline, cancelled_)]() mutable {
      if (here.expired()) return;
      busy_ = false;
      then(std::move(report));
    });
  });
  return busy_;
}

}  // namespace hamlet::wire
