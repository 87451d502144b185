#include <gst/rtsp-server/rtsp-server.h>

#include <cstdio>

// A camera for tests: rtsp_server VIDEO.mp4 serves its H.264 stream on a free port, whose address it prints.

int main(int argc, char **argv)
{
    gst_init(&argc, &argv);
    if (argc != 2)
        return 2;
    GMainLoop *loop = g_main_loop_new(nullptr, FALSE);
    GstRTSPServer *server = gst_rtsp_server_new();
    gst_rtsp_server_set_address(server, "127.0.0.1");
    gst_rtsp_server_set_service(server, "0");
    GstRTSPMediaFactory *factory = gst_rtsp_media_factory_new();
    gchar *launch = g_strdup_printf("filesrc location=\"%s\" ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96", argv[1]);
    gst_rtsp_media_factory_set_launch(factory, launch);
    g_free(launch);
    GstRTSPMountPoints *mounts = gst_rtsp_server_get_mount_points(server);
    gst_rtsp_mount_points_add_factory(mounts, "/camera", factory);
    g_object_unref(mounts);
    if (!gst_rtsp_server_attach(server, nullptr))
        return 1;
    std::printf("rtsp://127.0.0.1:%d/camera\n", gst_rtsp_server_get_bound_port(server));
    std::fflush(stdout);
    g_main_loop_run(loop);
}
