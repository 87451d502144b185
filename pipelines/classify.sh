#!/usr/bin/env bash
# Detects objects in a video and classifies each of them: one line of JSON for each frame with objects.
# Usage: pipelines/classify.sh VIDEO DETECTOR CLASSIFIER [LABEL,…]     the labels: of the objects to classify; not given: all
set -euo pipefail
[ $# -ge 3 ] || { sed -n 2,3p "$0" >&2; exit 2; }
. "$(dirname "$0")/build.sh"
exec gst-launch-1.0 -q filesrc location="$1" ! decodebin ! \
  leatdetect model="$2" ! \
  leatclassify model="$3" inference-region=roi-list ${4:+object-class="$4"} ! \
  leatmetaconvert ! leatpublish file-format=json-lines ! fakesink sync=false
