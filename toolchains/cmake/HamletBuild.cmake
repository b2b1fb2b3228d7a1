# How every target of Hamlet is compiled, and the two functions that declare a room and a program.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# Nothing here is a shared library, and with one option for all, rooms and programs share precompiled headers.
set(CMAKE_CXX_COMPILE_OPTIONS_PIC -fPIE)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

# CMake's own choice is -O3. Most of this waits for devices, links and people and is -O1, two thirds of -O2's time to compile; a room
# that computes says HOT and is -O2 (tests/bench/RESULTS.md).
string(REPLACE "-O3" "-O1" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")

# The files of a room are compiled as one, and those of a test: half the time of a clean build. Not in Debug, where one file changes at
# a time; it also finds the include that is missing.
set(unity ON)
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  set(unity OFF)
endif()
option(HAMLET_UNITY "Compile the files of a target as one" ${unity})

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # With a precompiled header ccache needs to be told that time macros and defines are in order.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} ${CCACHE})
endif()

add_library(hamlet_options INTERFACE)
target_include_directories(hamlet_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(hamlet_options INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-align
  -Woverloaded-virtual -Wnull-dereference -Wformat=2 -Wimplicit-fallthrough -Wswitch-enum -Werror
  -fstack-protector-strong)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(hamlet_options INTERFACE -Wduplicated-cond -Wlogical-op -fno-fat-lto-objects)
  # The compiler tidies its own memory less often: a tenth of the time, for some 100 MB more of a file.
  target_compile_options(hamlet_options INTERFACE "SHELL:--param ggc-min-heapsize=524288")
  if(HAMLET_UNITY) # it takes what is included for a header
    target_compile_options(hamlet_options INTERFACE -Wno-subobject-linkage)
  endif()
  # g++ 12 reports these inside the standard library when it inlines; they say nothing about our code.
  target_compile_options(hamlet_options INTERFACE -Wno-null-dereference -Wno-restrict -Wno-maybe-uninitialized
    -Wno-array-bounds -Wno-stringop-overflow)
endif()
target_compile_definitions(hamlet_options INTERFACE
  HAMLET_VERSION="${PROJECT_VERSION}" BOOST_ALL_NO_LIB BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_NO_TS_EXECUTORS
  BOOST_ASIO_SEPARATE_COMPILATION)
if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug" AND NOT HAMLET_SANITIZE)
  target_compile_definitions(hamlet_options INTERFACE $<$<NOT:$<BOOL:${HAMLET_SANITIZE}>>:_FORTIFY_SOURCE=2>)
endif()
if(HAMLET_SANITIZE)
  target_compile_options(hamlet_options INTERFACE -fsanitize=${HAMLET_SANITIZE} -fno-omit-frame-pointer)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU") # instrumented, the standard library's short strings mislead it
    target_compile_options(hamlet_options INTERFACE -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread)
  endif()
  if(HAMLET_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(hamlet_options INTERFACE -Wno-tsan) # Asio's fences, which g++ 12 does not instrument
  endif()
  target_link_options(hamlet_options INTERFACE -fsanitize=${HAMLET_SANITIZE})
endif()
if(HAMLET_FUZZ)
  target_compile_options(hamlet_options INTERFACE -fsanitize=fuzzer-no-link,address,undefined)
  target_link_options(hamlet_options INTERFACE -fsanitize=address,undefined)
endif()

# hamlet_room(NAME [HOT] [SOURCES ...] [PUBLIC ...] [PRIVATE ...] [PCH header ...])
# A room: the static library hamlet_NAME. PUBLIC and PRIVATE are what it links; third-party libraries that only its .cpp
# files touch are PRIVATE, so that nobody else can include their headers by accident. A HOT room reuses the precompiled header of core,
# which is HOT, any other that of hamlet_asio: g++ 12 breaks on one compiled at another level.
function(hamlet_room name)
  cmake_parse_arguments(ROOM "HOT" "" "SOURCES;PUBLIC;PRIVATE;PCH" ${ARGN})
  add_library(hamlet_${name} STATIC ${ROOM_SOURCES})
  target_link_libraries(hamlet_${name} PUBLIC hamlet_options ${ROOM_PUBLIC} PRIVATE ${ROOM_PRIVATE})
  if(HAMLET_UNITY)
    set_target_properties(hamlet_${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 12)
  endif()
  set(pch REUSE_FROM hamlet_asio)
  if(ROOM_HOT)
    target_compile_options(hamlet_${name} PRIVATE $<$<CONFIG:Release>:-O2>)
    set(pch REUSE_FROM hamlet_core)
  endif()
  if(ROOM_PCH)
    set(pch PRIVATE ${ROOM_PCH})
  elseif(NOT ROOM_HOT) # the header begins Asio's error categories, also where a room has no use for them
    target_link_libraries(hamlet_${name} PRIVATE hamlet_asio)
  endif()
  target_precompile_headers(hamlet_${name} ${pch})
endfunction()

# hamlet_program(NAME [SOURCES ...] [LINK ...])
function(hamlet_program name)
  cmake_parse_arguments(PROGRAM "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${PROGRAM_SOURCES})
  target_link_libraries(${name} PRIVATE hamlet_options ${PROGRAM_LINK})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin UNITY_BUILD ${HAMLET_UNITY})
endfunction()
