#!/usr/bin/env bash
# Many cameras or files in one process that share one model: a line of JSON for each frame with objects, with its "source".
# Usage: pipelines/cameras.sh MODEL SOURCE…     a source is a file or an address such as rtsp://CAMERA/STREAM
set -euo pipefail
[ $# -ge 2 ] || { sed -n 2,3p "$0" >&2; exit 2; }
. "$(dirname "$0")/build.sh"
model=$1; shift
streams=()
for source in "$@"; do
  streams+=(uridecodebin "uri=$(uri_of "$source")" !
    leatdetect "model=$model" ! leatmetaconvert "source=$source" ! leatpublish file-format=json-lines ! fakesink sync=false)
done
exec gst-launch-1.0 -q "${streams[@]}"
