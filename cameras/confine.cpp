#include "cameras/confine.hpp"

#include <array>
#include <cerrno>
#include <memory>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/videodev2.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "firmware/core/sanitized.hpp"

namespace hamlet::cameras {
namespace {

// Whatever their arguments are.
constexpr std::array kAllowed{
    // bytes in and out of what is open
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(lseek),
    SCMP_SYS(_llseek),
    SCMP_SYS(close),
    SCMP_SYS(fcntl),
    SCMP_SYS(fcntl64),
    SCMP_SYS(dup),
    SCMP_SYS(dup3),
    SCMP_SYS(pipe2),
    // what there is
    SCMP_SYS(fstat),
    SCMP_SYS(fstat64),
    SCMP_SYS(stat),
    SCMP_SYS(stat64),
    SCMP_SYS(lstat),
    SCMP_SYS(lstat64),
    SCMP_SYS(fstatat64),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(fstatfs),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getdents64),
    SCMP_SYS(getcwd),
    // the network
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(send),
    SCMP_SYS(recv),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(shutdown),
    // waiting
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(_newselect),
    SCMP_SYS(pselect6),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(eventfd2),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(timerfd_gettime),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(alarm),
    SCMP_SYS(setitimer),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(futex),
    SCMP_SYS(sched_yield),
    // time and chance
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrandom),
    // memory
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(membarrier),
    // threads and signals
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(gettid),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    // who and where we are
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getrusage),
    SCMP_SYS(getrlimit),
    SCMP_SYS(ugetrlimit),
};

constexpr scmp_arg_cmp equal(unsigned argument, scmp_datum_t value) {
  return {argument, SCMP_CMP_EQ, value, 0};
}
constexpr scmp_arg_cmp bits(unsigned argument, scmp_datum_t mask, scmp_datum_t value) {
  return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

class Filter {
 public:
  Filter() : context_{seccomp_init(SCMP_ACT_ERRNO(EPERM))} {
    if (!context_) failed_ = -ENOMEM;
  }

  template <class... Conditions>
  void allow(int call, Conditions... conditions) {
    add(SCMP_ACT_ALLOW, call, conditions...);
  }
  template <class... Conditions>
  void add(std::uint32_t action, int call, Conditions... conditions) {
    if (failed_ != 0) return;
    const int done = seccomp_rule_add(context_.get(), action, call, sizeof...(conditions), conditions...);
    if (done != 0 && done != -EDOM) failed_ = done;  // EDOM: this machine has no such call
  }
  // 0, or a negative errno.
  int load() { return failed_ != 0 ? failed_ : seccomp_load(context_.get()); }

 private:
  struct Release {
    void operator()(void* context) const { seccomp_release(context); }
  };
  std::unique_ptr<void, Release> context_;
  int failed_ = 0;
};

void allow_by_arguments(Filter& filter) {
  const auto pid = static_cast<scmp_datum_t>(getpid());
  // Threads, no processes. What clone3 is asked for cannot be seen: without it glibc takes clone.
  filter.allow(SCMP_SYS(clone), bits(0, CLONE_THREAD, CLONE_THREAD));
  filter.add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
  filter.allow(SCMP_SYS(tgkill), equal(0, pid));  // abort()
  filter.allow(SCMP_SYS(prctl), equal(0, PR_SET_NAME));
  filter.allow(SCMP_SYS(prlimit64), equal(2, 0));  // looks, changes nothing
  // Reading.
  constexpr scmp_datum_t kWrites = O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);
  filter.allow(SCMP_SYS(open), bits(1, kWrites, O_RDONLY));
  filter.allow(SCMP_SYS(openat), bits(2, kWrites, O_RDONLY));
  for (const auto family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK}) {  // netlink: which addresses this machine has
    filter.allow(SCMP_SYS(socket), equal(0, static_cast<scmp_datum_t>(family)));
  }
  for (const unsigned long request : {static_cast<unsigned long>(FIONREAD), static_cast<unsigned long>(FIONBIO)}) {
    filter.allow(SCMP_SYS(ioctl), equal(1, request));
  }
  filter.allow(SCMP_SYS(ioctl), bits(1, 0xff00, 'V' << 8));  // V4L2's
  // Libraries may be loaded; what was written is never run.
  constexpr scmp_datum_t kBoth = PROT_WRITE | PROT_EXEC;
  for (const auto call : {SCMP_SYS(mmap), SCMP_SYS(mmap2)}) {
    for (const auto some : {0, PROT_WRITE, PROT_EXEC}) {
      filter.allow(call, bits(2, kBoth, static_cast<scmp_datum_t>(some)));
    }
  }
  filter.allow(SCMP_SYS(mprotect), bits(2, PROT_EXEC, 0));
}

Status failed(std::string_view doing, int error) {
  return fail(Errc::failed, fmt::format("{}: {}", doing, std::generic_category().message(error)));
}

// Ambient and inheritable ones with the rest; the bounding set where we may.
Status drop_capabilities() {
  for (unsigned long each = 0; prctl(PR_CAPBSET_READ, each, 0, 0, 0) >= 0; ++each)
    prctl(PR_CAPBSET_DROP, each, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const std::array<__user_cap_data_struct, 2> none{};
  if (syscall(SYS_capset, &header, none.data()) != 0) return failed("drop capabilities", errno);
  return {};
}

}  // namespace

Status confine() {
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("set no-new-privileges", errno);
  if (auto dropped = drop_capabilities(); !dropped) return dropped;
  if (kSanitized) return {};  // its runtime needs more than the filter allows
  Filter filter;
  for (const int call : kAllowed) filter.allow(call);
  allow_by_arguments(filter);
  if (const int loaded = filter.load(); loaded != 0) return failed("load the seccomp filter", -loaded);
  return {};
}

}  // namespace hamlet::cameras
