"""The street detector's mAP on the clips that it was not trained on, end to end through leatdetect, holds what its README says."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

STREET = pathlib.Path(os.environ["LEAT_SOURCE_ROOT"]) / "pipelines" / "street"
CLIPS = ("street", "heldout_1", "heldout_2")
LEAST = 0.69  # mAP@0.5 over the three clips; the README measured 0.71


def python_with_numpy():
    for candidate in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([candidate, "-c", "import numpy"], capture_output=True).returncode == 0:
            return candidate
    print("numpy is not installed")
    sys.exit(77)


def main():
    python = python_with_numpy()
    with tempfile.TemporaryDirectory() as folder:
        pairs = []
        for clip in CLIPS:
            lines = pathlib.Path(folder, clip + ".jsonl")
            subprocess.run(f"gst-launch-1.0 -q filesrc location={STREET}/{clip}.mp4 ! decodebin ! videoconvert ! "
                           f"leatdetect model={STREET}/street.onnx threshold=0.02 iou-threshold=0.6 ! leatmetaconvert ! "
                           f"leatpublish file-format=json-lines file-path={lines} ! fakesink", shell=True, check=True, timeout=120)
            pairs += [STREET / (clip + ".json"), lines]
        result = subprocess.run([python, STREET / "evaluate.py", *pairs], capture_output=True, text=True, check=True).stdout
    print(result)
    measured = [float(value) for value in re.findall(r"mAP@0\.5 ([0-9.]+)", result)]
    if measured[-1] < LEAST:
        sys.exit(f"mAP@0.5 is {measured[-1]}, want {LEAST}")


main()
