#!/usr/bin/env bash
# The one list of packages that building, running and testing Leat needs on Debian 12 and newer.
# Usage: pipelines/packages.sh build|test   installs what is missing (as root, or with sudo).
set -euo pipefail

build_packages=(
  build-essential meson ninja-build pkg-config ccache
  libdnnl-dev libtbb-dev libhwy-dev
  libprotobuf-dev protobuf-compiler libonnx-dev
  flatbuffers-compiler libflatbuffers-dev libxxhash-dev
  nlohmann-json3-dev libpugixml-dev libcli11-dev
  libcairo2-dev libpango1.0-dev
  libpaho-mqtt-dev librdkafka-dev
  ocl-icd-opencl-dev libva-dev
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
  gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav
)
test_packages=(
  libgtest-dev libgmock-dev libbenchmark-dev
  mosquitto mosquitto-clients
  python3-numpy
  libgstrtspserver-1.0-dev
  pocl-opencl-icd
  python3
)

case "${1:-build}" in
  build) wanted=("${build_packages[@]}") ;;
  test) wanted=("${build_packages[@]}" "${test_packages[@]}") ;;
  *) echo "usage: $0 build|test" >&2; exit 2 ;;
esac

missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "Leat needs these packages; run as root: apt-get install ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "Installing ${#missing[@]} packages: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
