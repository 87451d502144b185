#!/usr/bin/env bash
# Records a camera or a file with boxes and labels drawn into it, until it ends or Ctrl+C.
# Usage: pipelines/record.sh SOURCE OUT.mp4 [MODEL]     a source is a file or an address such as rtsp://CAMERA/STREAM
set -euo pipefail
[ $# -ge 2 ] || { sed -n 2,3p "$0" >&2; exit 2; }
. "$(dirname "$0")/build.sh"
exec gst-launch-1.0 -q -e uridecodebin uri="$(uri_of "$1")" ! \
  leatdetect model="${3:-$street_model}" ! leatoverlay ! videoconvert ! x264enc speed-preset=veryfast ! h264parse ! \
  mp4mux ! filesink location="$2"
