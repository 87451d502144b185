"""Runs the demo without arguments and reads what it wrote: video, JSON lines, picture, and the figures of its summary."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(os.environ["LEAT_SOURCE_ROOT"])


def check(condition, text):
    if not condition:
        sys.exit(text)


def main():
    with tempfile.TemporaryDirectory() as name:
        out = pathlib.Path(name)
        run = subprocess.run([ROOT / "pipelines" / "demo.sh"], env=os.environ | {"LEAT_OUT": name}, capture_output=True,
                             text=True, timeout=250)
        print(run.stdout)
        check(run.returncode == 0, run.stderr[-3000:])
        frames = int(re.search(r"^frames\s+(\d+) in", run.stdout, re.M).group(1))
        lines = [json.loads(line) for line in (out / "detections.jsonl").read_text().splitlines()]
        times = [line["timestamp"] for line in lines]
        check(times == sorted(times) and len(set(times)) == len(times), "timestamps out of order")
        check(0 < len(lines) <= frames, f"{len(lines)} lines for {frames} frames")
        check(all(0 < o["detection"]["confidence"] <= 1 for line in lines for o in line["objects"]), "confidence out of range")
        check((out / "frame.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", "frame.png is no PNG")
        probe = subprocess.run(["gst-discoverer-1.0", out / "annotated.mp4"], capture_output=True, text=True) \
            if any(pathlib.Path(p, "gst-discoverer-1.0").exists() for p in os.environ["PATH"].split(":")) else None
        check(probe is None or "Duration" in probe.stdout, "annotated.mp4 cannot be read")
        check((out / "annotated.mp4").stat().st_size > 50_000, "annotated.mp4 is too small")
        for word in ("latency", "objects", "decoder", "streams", "nodes"):
            check(re.search(rf"\b{word}\b", run.stdout), f"the summary does not say {word}")


main()
