"""The tracer `leat` writes a timeline of a whole pipeline: what each thread does, and the jobs of each element."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(os.environ["LEAT_SOURCE_ROOT"])
FRAMES = 40


def check(condition, text):
    if not condition:
        sys.exit(text)


def run(file):
    street = ROOT / "pipelines" / "street"
    return subprocess.run(
        ["gst-launch-1.0", "-q", "videotestsrc", f"num-buffers={FRAMES}", "!", "video/x-raw,width=320,height=240,format=NV12", "!",
         "leatdetect", f"model={street / 'street.onnx'}", "nireq=3", "!", "queue", "name=behind", "!", "leatmetaconvert", "!", "fakesink"],
        env=os.environ | {"GST_TRACERS": f"leat(file={file})"}, capture_output=True, text=True, timeout=120)


def overlaps(slices):
    """Slices of one track that are neither apart nor one inside the other."""
    inside, count = [], 0
    for begin, end in sorted(slices, key=lambda s: (s[0], -s[1])):
        while inside and inside[-1] <= begin + 0.001:
            inside.pop()
        count += bool(inside) and end > inside[-1] + 0.001
        inside.append(end)
    return count


def main():
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "timeline.json")
        done = run(file)
        check(done.returncode == 0, done.stderr)
        events = json.loads(file.read_text())
        refused = run("/missing/timeline.json")
        check(refused.returncode == 0, "a timeline that cannot be written must not stop the pipeline")
        check('the timeline "/missing/timeline.json" cannot be written; is its folder there?' in refused.stderr, refused.stderr)
    tracks = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M"}
    slices = {}
    for e in (e for e in events if e["ph"] == "X"):
        slices.setdefault((tracks[e["tid"]], e["name"]), []).append((e["ts"], e["ts"] + e["dur"]))
    for track, name in [("thread of videotestsrc0", "leatdetect0"), ("thread of leatdetect0", "behind"),
                        ("thread of behind", "leatmetaconvert0"), ("thread of behind", "fakesink0")]:
        check(len(slices.get((track, name), [])) == FRAMES, f"{track} has not {FRAMES} slices {name}: {sorted(slices)}")
    for name in ("wait", "preprocess", "inference"):
        count = sum(len(s) for (track, what), s in slices.items() if track.startswith("leatdetect0, request ") and what == name)
        check(count == FRAMES, f"{count} slices {name}")
    for tid, track in tracks.items():
        mine = [(e["ts"], e["ts"] + e["dur"]) for e in events if e["ph"] == "X" and e["tid"] == tid]
        check(overlaps(mine) == 0, f"slices on \"{track}\" overlap")


main()
