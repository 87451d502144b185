#!/usr/bin/env bash
# Detects objects, follows each of them under an id of its own, and classifies them: one line of JSON for each frame with objects.
# Usage: pipelines/track.sh VIDEO DETECTOR [CLASSIFIER [LABEL,…]]     the labels: of the objects to track and classify; not given: all
set -euo pipefail
[ $# -ge 2 ] || { sed -n 2,3p "$0" >&2; exit 2; }
. "$(dirname "$0")/build.sh"
classify=()
[ $# -lt 3 ] || classify=(leatclassify "model=$3" inference-region=roi-list ${4:+object-class="$4"} !)
exec gst-launch-1.0 -q filesrc location="$1" ! decodebin ! \
  leatdetect model="$2" ! leattrack ${4:+object-class="$4"} ! "${classify[@]}" \
  leatmetaconvert ! leatpublish file-format=json-lines ! fakesink sync=false
