#pragma once

#include "firmware/core/result.hpp"

namespace hamlet::cameras {

/// Gives up every right that watching cameras does not need, for this process and all its threads to come, for good: no
/// new privileges, no capabilities, no core dump with a picture in it, and a seccomp filter after which a decoder that
/// has been taken over can neither start a program, nor look into another process, nor open a file for writing, nor
/// make memory executable that it has written. A call that is not allowed fails with EPERM. Files and devices can still
/// be read, sockets opened, threads begun. Call it with one thread, when the socket to the daemon is there.
[[nodiscard]] Status confine();

}  // namespace hamlet::cameras
