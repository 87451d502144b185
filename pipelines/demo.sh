#!/usr/bin/env bash
# Installs the packages, builds Leat, and detects objects in a video.
# Usage: pipelines/demo.sh [VIDEO [MODEL]]     without arguments: the clip and the model that Leat ships.
# Writes out/annotated.mp4, out/detections.jsonl and out/frame.png.
set -euo pipefail
video=${1:+$(realpath -m -- "$1")}
model=${2:+$(realpath -m -- "$2")}
. "$(dirname "$0")/build.sh"
options=(--output "${LEAT_OUT:-$root/out}")
[ -n "$model" ] || options+=(--iou-threshold 0.45) # so small a model finds some objects more than once
"$build/tools/leat" video "${model:-$street_model}" "${video:-$here/street/street.mp4}" "${options[@]}"
