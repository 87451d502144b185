#!/usr/bin/env bash
# Measures what pipelines leave of the engine's speed: prints a table over numbers of streams, each decoded and given to leatdetect.
# Usage: pipelines/benchmark.sh [VIDEO [MODEL]]     an H.264 video; without arguments: the clip and the model that Leat ships
# STREAMS="1 4 16 64", SECONDS_EACH=5 and ROUNDS=3 are the defaults of these variables.
set -euo pipefail
case ${1:-} in -*) sed -n 2,4p "$0" >&2; exit 2 ;; esac
. "$(dirname "$0")/build.sh"
video=${1:-$here/street/street.mp4}
model=${2:-$street_model}
seconds=${SECONDS_EACH:-5}
rounds=${ROUNDS:-3}
clip=$(mktemp --suffix=.h264)
measured=$(mktemp)
trap 'rm -f "$clip" "$measured"' EXIT

# A stream without a container can be repeated without end.
gst-launch-1.0 -q filesrc location="$video" ! parsebin ! h264parse ! video/x-h264,stream-format=byte-stream,alignment=au ! \
  filesink location="$clip" >&2 || { echo "$video cannot be read as H.264 video" >&2; exit 1; }

# rate STREAMS [ELEMENT…]: frames a second of all streams together, each decoded and given to these elements, once all have begun.
rate() {
  local streams=$1 i launch=()
  for ((i = 0; i < streams; i++)); do
    launch+=(multifilesrc "location=$clip" loop=true ! decodebin ! "${@:2}" all.)
  done
  coproc pipeline { exec gst-launch-1.0 -q "${launch[@]}" funnel name=all forward-sticky-events=false ! \
    leatfps name=fps skip=$((8 * streams)) interval="$seconds" ! fakesink sync=false; }
  local pid=$pipeline_PID line=
  read -r line <&"${pipeline[0]}" || true
  kill "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  [[ $line == fps:* ]] || { echo "the pipeline of $streams streams has failed" >&2; return 1; }
  awk '{print $2}' <<<"$line"
}

engine_rate() {
  "$build/tools/leat" benchmark "$model" -i "$video" --time "$seconds" 2>/dev/null | awk '$1 == "throughput" {print $2}'
}

median() { sort -g | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

echo "$(basename "$model") on $(basename "$video"), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg): medians of $rounds rounds."
echo "Engine: leat benchmark, preprocessing included. Roof: what decoding and inference would reach if they only shared the cores."
echo
echo "| streams | engine, frames/s | decoding, frames/s | pipeline, frames/s | pipeline / engine | pipeline / roof |"
echo "|---|---|---|---|---|---|"
for streams in ${STREAMS:-1 4 16 64}; do
  for ((round = 0; round < rounds; round++)); do
    engine=$(engine_rate)
    decoded=$(rate "$streams")
    passed=$(rate "$streams" leatdetect "model=$model" !)
    echo "$engine $decoded $passed $(awk "BEGIN {print $passed / $engine, $passed * (1 / $decoded + 1 / $engine)}")"
  done >"$measured"
  echo "| $streams$(for column in 1:%.0f 2:%.0f 3:%.0f 4:%.2f 5:%.2f; do
    printf " | ${column#*:}" "$(awk "{print \$${column%%:*}}" "$measured" | median)"
  done) |"
done
