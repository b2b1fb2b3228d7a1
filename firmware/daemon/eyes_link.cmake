# The daemon's end of the socket to hamlet-eyes. Included by CMakeLists.txt.
add_library(hamlet_eyes_link STATIC ${CMAKE_CURRENT_LIST_DIR}/eyes_link.cpp)
target_link_libraries(hamlet_eyes_link PUBLIC hamlet_options hamlet_core hamlet_camera_messages hamlet_asio
  PRIVATE Threads::Threads)
target_precompile_headers(hamlet_eyes_link REUSE_FROM hamlet_asio)
