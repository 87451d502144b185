# Sourced by the scripts beside it: installs the packages, builds Leat, and lets GStreamer find it.
# Sets `root`, `build` and, for scripts that are called without one, `street_model`.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
build=${LEAT_BUILD:-$root/build}
street_model=$here/street/street.onnx

"$here/packages.sh" build
if [ ! -f "$build/build.ninja" ]; then
  echo "Configuring …" >&2
  meson setup "$build" "$root" -Dtests=false >"$build.log" 2>&1 || { cat "$build.log" >&2; exit 1; }
fi
echo "Building …" >&2
ninja -C "$build" --quiet >&2
export GST_PLUGIN_PATH=$build/gst${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}

# The path of a file, or the address as it is, as a URI.
uri_of() {
  case $1 in
    *://*) echo "$1" ;;
    *) echo "file://$(realpath -- "$1" | sed 's/%/%25/g; s/ /%20/g; s/#/%23/g; s/?/%3F/g')" ;;
  esac
}
