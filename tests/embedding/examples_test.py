"""Runs every example on the model and clip that Leat ships, and looks at what it prints."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(os.environ["LEAT_SOURCE_ROOT"])
EXAMPLES = pathlib.Path(os.environ["LEAT_BUILD"]) / "examples"
STREET = ROOT / "pipelines" / "street"
WIDTH, HEIGHT, FRAMES = 320, 192, 3
OBJECT = re.compile(r"\w+ 0\.\d\d at \d+,\d+ \d+x\d+$", re.M)


def run(*command, status=0, env=None):
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=100, env=env)
    if result.returncode != status:
        sys.exit(f"{' '.join(map(str, command))}: status {result.returncode}\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return result.stdout + result.stderr


def expect(condition, text):
    if not condition:
        sys.exit("unexpected:\n" + text)


def frames(folder):
    """Frames of the clip as packed RGB, made without Leat's plugin: a sanitizer's build of it is not for gst-launch-1.0."""
    raw = folder / "frames.rgb"
    env = {name: value for name, value in os.environ.items() if name not in ("GST_PLUGIN_PATH", "GST_REGISTRY")}
    run("gst-launch-1.0", "-q", "filesrc", f"location={STREET}/street.mp4", "!", "decodebin", "!", "videoconvert", "!", "videoscale",
        "!", f"video/x-raw,format=RGB,width={WIDTH},height={HEIGHT}", "!", "identity", f"eos-after={FRAMES + 1}", "!", "filesink",
        f"location={raw}", env=env)
    raw.write_bytes(raw.read_bytes()[:3 * WIDTH * HEIGHT * FRAMES])
    return raw


def main():
    model = STREET / "street.onnx"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        raw = frames(folder)
        picture = folder / "picture.ppm"
        picture.write_bytes(b"P6 %d %d 255\n" % (WIDTH, HEIGHT) + raw.read_bytes()[:3 * WIDTH * HEIGHT])
        shown = run(EXAMPLES / "picture", model, picture)
        expect(OBJECT.search(shown), shown)
        shown = run(EXAMPLES / "detect", model, raw, WIDTH, HEIGHT)
        expect(all(f"frame {i}: " in shown for i in range(FRAMES)) and OBJECT.search(shown), shown)
        shown = run(EXAMPLES / "async_requests", model)
        expect(re.search(r"^200 inferences with \d+ requests, ", shown, re.M), shown)
        shown = run(EXAMPLES / "camera_streams", model, 3, 10)
        expect(len(re.findall(r"^camera \d: 10 frames, ", shown, re.M)) == 3, shown)

        none = folder / "none"
        for command in (["picture", none, picture], ["detect", none, raw, WIDTH, HEIGHT], ["async_requests", none],
                        ["camera_streams", none]):
            shown = run(EXAMPLES / command[0], *command[1:], status=1)
            expect(str(none) in shown, shown)
        for example in ("picture", "detect", "async_requests", "camera_streams"):
            shown = run(EXAMPLES / example, status=2)
            expect("usage: " + example in shown, shown)


main()
