#!/usr/bin/env bash
# Installs what is missing, builds Leat three times (release, ASan+UBSan, TSan) and runs every test.
# Usage: tests/run.sh [--quick]     --quick: the release build alone.
# Ends with one line: N passed, N failed, N skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
pipelines/packages.sh test

out=$root/build-tests
mkdir -p "$out"
rm -rf "$out"/results
jobs=$(nproc)
export GST_REGISTRY_FORK=no GST_DEBUG_NO_COLOR=1

# build NAME "TARGET…" MESON_OPTION…   no target: everything.
build() {
  local name=$1 targets=$2; shift 2
  echo "== $name: build"
  [ -f "$out/$name/build.ninja" ] || meson setup "$out/$name" -Dcompile_together=true "$@" >"$out/$name.setup.log" 2>&1 || { cat "$out/$name.setup.log"; exit 1; }
  # shellcheck disable=SC2086
  ninja -C "$out/$name" -j "$jobs" --quiet $targets >"$out/$name.build.log" 2>&1 || { grep -E 'error|FAILED' -A5 "$out/$name.build.log" | head -60; exit 1; }
}

# check NAME MESON_TEST_OPTION…   runs the tests; failures are counted by summary.py, not here.
check() {
  local name=$1; shift
  echo "== $name: test"
  mkdir -p "$out/results/$name"
  GTEST_OUTPUT="xml:$out/results/$name/" meson test -C "$out/$name" --no-rebuild --num-processes "$jobs" "$@" \
    >"$out/results/$name/log.txt" 2>&1 || true
  cp "$out/$name/meson-logs/testlog.json" "$out/results/$name/"
  grep -E '^(Ok|Expected Fail|Fail|Unexpected Pass|Skipped|Timeout):' "$out/results/$name/log.txt" || true
}

build release ""
check release
if [ "${1:-}" != --quick ]; then
  # Line tables are all that a report needs, null pointers are ASan's find as well, and undefined behaviour traps, so that ASan
  # reports where: together a third of the time to compile.
  build asan "" --buildtype=debugoptimized -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false -Db_pch=true \
    -Dcpp_args="-g1 -fno-sanitize=null,vptr,object-size -fsanitize-undefined-trap-on-error"
  # Plugins of others leak while GStreamer looks at them: a program that nobody watches does that first.
  GST_REGISTRY=$out/asan/gst-registry.bin gst-inspect-1.0 >/dev/null
  # GLib has no frame pointers, so that its allocations have to be unwound the slow way; eight frames of each tell whose they are.
  # The leak check of GCC 13 and before takes a thread-local block at a certain place in its page for one of an old C library, and
  # now and then reads beyond mapped memory there (google/sanitizers#1322): it is not to look for such blocks.
  ASAN_OPTIONS=fast_unwind_on_malloc=0:malloc_context_size=8:detect_stack_use_after_return=1:handle_sigill=1:intercept_tls_get_addr=0 \
  LSAN_OPTIONS=suppressions=$root/tests/support/lsan.supp:print_suppressions=0 \
    check asan --timeout-multiplier 8 --no-suite pipelines
  build tsan "tests/devices/devices_tests tests/graphs/graphs_tests" --buildtype=debugoptimized -Doptimization=1 -Db_sanitize=thread -Db_lundef=false -Db_pch=true \
    -Dcpp_args=-g1
  TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=0:exitcode=66:suppressions=$root/tests/support/tsan.supp \
    check tsan --timeout-multiplier 8 --suite devices --suite graphs
fi
python3 tests/summary.py "$out/results"
