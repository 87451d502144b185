#!/usr/bin/env bash
# Detects objects in the stream of an RTSP camera, live: every frame passes within 200 ms, inferred or marked as not, and is
# one line of JSON. Lines "fps: …" tell the rate, and how old frames are.
# Usage: pipelines/rtsp.sh rtsp://CAMERA/STREAM [MODEL]
set -euo pipefail
[ $# -ge 1 ] || { sed -n 2,4p "$0" >&2; exit 2; }
. "$(dirname "$0")/build.sh"
exec gst-launch-1.0 -q rtspsrc location="$1" latency=100 ! decodebin ! \
  leatdetect model="${2:-$street_model}" late-policy=skip-inference max-latency=200 ! leatfps name=fps interval=5 ! \
  leatmetaconvert add-empty-results=true source="$1" ! leatpublish file-format=json-lines ! fakesink sync=false
