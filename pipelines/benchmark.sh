#!/usr/bin/env bash
# Measures what pipelines leave of the engine's speed: prints a table over numbers of streams, each decoded and given to leatdetect.
# Usage: pipelines/benchmark.sh [VIDEO [MODEL]]     an H.264 video; without arguments: the clip and the model that Leat ships
# STREAMS="1 4 16 64", SECONDS_EACH=5, LOOPS=8 and ROUNDS=3 are the defaults of these variables; LOOPS: how often the video is played for
# processor times, by all streams together, at least once by each; 0 leaves them out.
set -euo pipefail
case ${1:-} in -*) sed -n 2,5p "$0" >&2; exit 2 ;; esac
. "$(dirname "$0")/build.sh"
video=${1:-$here/street/street.mp4}
model=${2:-$street_model}
seconds=${SECONDS_EACH:-5}
rounds=${ROUNDS:-3}
loops=${LOOPS:-8}
clip=$(mktemp --suffix=.h264)
measured=$(mktemp)
times=$(mktemp)
trap 'rm -f "$clip" "$measured" "$times"' EXIT

# A stream without a container can be repeated without end.
gst-launch-1.0 -q filesrc location="$video" ! parsebin ! h264parse ! video/x-h264,stream-format=byte-stream,alignment=au ! \
  filesink location="$clip" >&2 || { echo "$video cannot be read as H.264 video" >&2; exit 1; }

# rate STREAMS [ELEMENT…]: frames a second of all streams together, each decoded and given to these elements. Each has a counter of its own,
# whose first report is left out: by then all streams have begun.
rate() {
  local streams=$1 i launch=()
  for ((i = 0; i < streams; i++)); do
    launch+=(multifilesrc "location=$clip" loop=true ! decodebin ! "${@:2}" leatfps "name=fps$i" "interval=$seconds" ! fakesink sync=false)
  done
  coproc pipeline { exec gst-launch-1.0 -q "${launch[@]}"; }
  local pid=$pipeline_PID name rate rest
  local -A reports=() rates=()
  while ((${#rates[@]} < streams)) && read -r name rate rest; do
    if [[ $name == fps* ]] && ((++reports[$name] == 2)); then rates[$name]=$rate; fi
  done <&"${pipeline[0]}"
  kill "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  ((${#rates[@]} == streams)) || { echo "the pipeline of $streams streams has failed" >&2; return 1; }
  printf '%s\n' "${rates[@]}" | awk '{sum += $1} END {print sum}'
}

engine_rate() {
  "$build/tools/leat" benchmark "$model" -i "$video" --time "$seconds" 2>/dev/null | awk '$1 == "throughput" {print $2}'
}

frames=$(gst-launch-1.0 -v filesrc "location=$clip" ! h264parse ! video/x-h264,alignment=au ! identity silent=false ! fakesink |
  grep -c 'last-message = chain')

# spent COMMAND…: milliseconds of processor time that it takes, all threads together.
spent() {
  times >"$times"
  local before; before=$(tail -n 1 "$times")
  "$@" >/dev/null 2>&1 || { echo "failed: $*" >&2; return 1; }
  times >"$times"
  echo "$before $(tail -n 1 "$times")" | tr ms '  ' | awk '{print 1000 * (60 * ($5 + $7 - $1 - $3) + $6 + $8 - $2 - $4)}'
}

# play STREAMS TIMES [ELEMENT…]: that many streams play the clip that many times, as fast as they can.
play() {
  local streams=$1 times_each=$2 i launch=()
  for ((i = 0; i < streams; i++)); do
    launch+=(multifilesrc "location=$clip" loop=true "num-buffers=$times_each" ! decodebin ! "${@:3}" fakesink sync=false)
  done
  gst-launch-1.0 -q "${launch[@]}"
}

# Milliseconds of processor time a frame: a long run less a short one, so that starting costs nothing.
engine_time() {
  local long short
  long=$(spent "$build/tools/leat" benchmark "$model" -i "$video" --iterations $((100 + loops * frames)))
  short=$(spent "$build/tools/leat" benchmark "$model" -i "$video" --iterations 100)
  awk "BEGIN {print ($long - $short) / ($loops * $frames)}"
}
frame_time() {
  local streams=$1 more=$(((loops + $1 - 1) / $1)) long short
  long=$(spent play "$streams" $((1 + more)) "${@:2}")
  short=$(spent play "$streams" 1 "${@:2}")
  awk "BEGIN {print ($long - $short) / ($streams * $more * $frames)}"
}

median() { sort -g | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

echo "$(basename "$model") on $(basename "$video"), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg): medians of $rounds rounds."
echo "Engine: leat benchmark, preprocessing included. Roof: what decoding and inference would reach if they only shared the cores."
columns=(1:%.0f 2:%.0f 3:%.0f 4:%.2f 5:%.2f)
heads="| streams | engine, frames/s | decoding, frames/s | pipeline, frames/s | pipeline / engine | pipeline / roof |"
if [ "$loops" -gt 0 ]; then
  echo "Processor times are milliseconds a frame; their ratio, (engine + decoding) / pipeline, depends less on what else runs."
  columns+=(6:%.2f 7:%.2f 8:%.2f 9:%.2f)
  heads+=" engine, ms | decoding, ms | pipeline, ms | ratio of times |"
fi
echo
echo "$heads"
tr -dc '|' <<<"$heads" | sed 's/|/|---/g; s/---$/\n/'
for streams in ${STREAMS:-1 4 16 64}; do
  for ((round = 0; round < rounds; round++)); do
    engine=$(engine_rate)
    decoded=$(rate "$streams")
    passed=$(rate "$streams" leatdetect "model=$model" !)
    row="$engine $decoded $passed $(awk "BEGIN {print $passed / $engine, $passed * (1 / $decoded + 1 / $engine)}")"
    if [ "$loops" -gt 0 ]; then
      engine_ms=$(engine_time)
      decoding_ms=$(frame_time "$streams")
      pipeline_ms=$(frame_time "$streams" leatdetect "model=$model" !)
      row+=" $engine_ms $decoding_ms $pipeline_ms $(awk "BEGIN {print ($engine_ms + $decoding_ms) / $pipeline_ms}")"
    fi
    echo "$row"
  done >"$measured"
  echo "| $streams$(for column in "${columns[@]}"; do
    printf " | ${column#*:}" "$(awk "{print \$${column%%:*}}" "$measured" | median)"
  done) |"
done
