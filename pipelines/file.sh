#!/usr/bin/env bash
# Detects objects in a video file as fast as it can be decoded: one line of JSON for each frame with objects.
# Usage: pipelines/file.sh VIDEO [MODEL] >detections.jsonl
set -euo pipefail
[ $# -ge 1 ] || { sed -n 2,3p "$0" >&2; exit 2; }
. "$(dirname "$0")/build.sh"
exec gst-launch-1.0 -q filesrc location="$1" ! decodebin ! \
  leatdetect model="${2:-$street_model}" ! \
  leatmetaconvert ! leatpublish file-format=json-lines ! fakesink sync=false
