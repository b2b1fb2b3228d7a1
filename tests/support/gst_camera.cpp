// A camera as cameras are: H.264 or H.265 by RTSP from Debian's GStreamer RTSP server library, at rtsp://127.0.0.1:PORT/stream,
// a client's session playing FILE (mp4) from its beginning, in real time. Says "ready" when it listens, and lives until it is
// killed. A program of its own, so that tests can stop, kill, stall and restart it.
//
//   gst-camera PORT FILE h264|h265 [USER PASSWORD]

#include <cstdio>
#include <cstdlib>
#include <string>

#include <gst/gst.h>
#include <gst/rtsp-server/rtsp-server.h>

int main(int argc, char** argv) {
  if (argc != 4 && argc != 6) return 2;
  gst_init(nullptr, nullptr);
  const std::string codec = argv[3];
  const std::string launch = std::string{"( filesrc location="} + argv[2] + " ! qtdemux ! " + codec + "parse config-interval=-1 ! rtp" + codec +
                             "pay name=pay0 pt=96 config-interval=1 )";
  auto* server = gst_rtsp_server_new();
  gst_rtsp_server_set_address(server, "127.0.0.1");
  gst_rtsp_server_set_service(server, argv[1]);
  auto* factory = gst_rtsp_media_factory_new();
  gst_rtsp_media_factory_set_launch(factory, launch.c_str());
  if (argc == 6) {
    auto* auth = gst_rtsp_auth_new();
    auto* token = gst_rtsp_token_new(GST_RTSP_TOKEN_MEDIA_FACTORY_ROLE, G_TYPE_STRING, "user", nullptr);
    gchar* basic = gst_rtsp_auth_make_basic(argv[4], argv[5]);
    gst_rtsp_auth_add_basic(auth, basic, token);
    gst_rtsp_server_set_auth(server, auth);
    gst_rtsp_media_factory_add_role(factory, "user", GST_RTSP_PERM_MEDIA_FACTORY_ACCESS, G_TYPE_BOOLEAN, TRUE,
                                    GST_RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, G_TYPE_BOOLEAN, TRUE, nullptr);
  }
  auto* mounts = gst_rtsp_server_get_mount_points(server);
  gst_rtsp_mount_points_add_factory(mounts, "/stream", factory);
  g_object_unref(mounts);
  if (gst_rtsp_server_attach(server, nullptr) == 0) {
    std::fprintf(stderr, "cannot listen at port %s\n", argv[1]);
    return 1;
  }
  // Sessions of clients that were cut off.
  g_timeout_add_seconds(2, [](gpointer of) -> gboolean {
    auto* pool = gst_rtsp_server_get_session_pool(GST_RTSP_SERVER(of));
    gst_rtsp_session_pool_cleanup(pool);
    g_object_unref(pool);
    return G_SOURCE_CONTINUE;
  }, server);
  std::puts("ready");
  std::fflush(stdout);
  g_main_loop_run(g_main_loop_new(nullptr, FALSE));
  return 0;
}
