#!/usr/bin/env bash
# Installs the packages, builds Leat, and detects objects in a video.
# Usage: pipelines/demo.sh [VIDEO [MODEL]]     without arguments: the clip and the model that Leat ships.
# Writes out/annotated.mp4, out/detections.jsonl and out/frame.png.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
video=$(realpath -m -- "${1:-$here/street/street.mp4}")
model=$(realpath -m -- "${2:-$here/street/street.onnx}")

"$here/packages.sh" build
build=${LEAT_BUILD:-$root/build}
if [ ! -f "$build/build.ninja" ]; then
  echo "Configuring …"
  meson setup "$build" "$root" -Dtests=false >"$build.log" 2>&1 || { cat "$build.log" >&2; exit 1; }
fi
echo "Building …"
ninja -C "$build" --quiet

export GST_PLUGIN_PATH=$build/gst${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}
"$build/tools/leat" video "$model" "$video" --output "${LEAT_OUT:-$root/out}"
