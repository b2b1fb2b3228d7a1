# Everything Hamlet takes from Debian 12, found once. toolchains/setup installs it.

set(_hint "; run toolchains/setup to install what is missing")
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tl-expected REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(CLI11 REQUIRED)
find_package(SQLiteCpp REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(Boost 1.74 REQUIRED)
pkg_check_modules(SYSTEMD REQUIRED IMPORTED_TARGET libsystemd)
pkg_check_modules(GPIOD REQUIRED IMPORTED_TARGET libgpiod)
pkg_check_modules(ALSA REQUIRED IMPORTED_TARGET alsa)
pkg_check_modules(SNDFILE REQUIRED IMPORTED_TARGET sndfile)
find_library(RE2_LIBRARY re2 REQUIRED) # its pkg-config file asks for -pthread, which precompiled headers do not bear
pkg_check_modules(FFMPEG REQUIRED IMPORTED_TARGET libavformat libavcodec libswscale libavutil)
pkg_check_modules(TURBOJPEG REQUIRED IMPORTED_TARGET libturbojpeg)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)

# Paho: the C++ package's own CMake file asks for a static library that Debian leaves out, so it is found by hand.
find_path(PAHO_INCLUDE_DIR mqtt/async_client.h REQUIRED)
find_library(PAHO_CPP_LIBRARY paho-mqttpp3 REQUIRED)
find_library(PAHO_C_LIBRARY paho-mqtt3as REQUIRED)
add_library(hamlet_paho INTERFACE)
target_include_directories(hamlet_paho SYSTEM INTERFACE ${PAHO_INCLUDE_DIR})
target_link_libraries(hamlet_paho INTERFACE ${PAHO_CPP_LIBRARY} ${PAHO_C_LIBRARY} OpenSSL::SSL Threads::Threads)

# OpenCV's smallest useful set. Its package for CMake comes only with the whole of it (hundreds of libraries), so the three
# libraries are found by hand.
find_path(OPENCV_INCLUDE_DIR opencv2/core.hpp PATH_SUFFIXES opencv4 REQUIRED)
add_library(hamlet_opencv INTERFACE)
target_include_directories(hamlet_opencv SYSTEM INTERFACE ${OPENCV_INCLUDE_DIR})
foreach(part core imgproc video)
  find_library(OPENCV_${part}_LIBRARY opencv_${part} REQUIRED)
  target_link_libraries(hamlet_opencv INTERFACE ${OPENCV_${part}_LIBRARY})
endforeach()
