"""Runs each script of pipelines/ on the clip that Leat ships, and reads what it writes."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

PIPELINES = pathlib.Path(os.environ["LEAT_SOURCE_ROOT"], "pipelines")
CLIP, MODEL = PIPELINES / "street" / "street.mp4", PIPELINES / "street" / "street.onnx"
FRAMES = 250


def check(condition, text):
    if not condition:
        sys.exit(text)


def output_of(script, *arguments, **variables):
    run = subprocess.run([PIPELINES / script, *map(str, arguments)], capture_output=True, text=True, timeout=200,
                         env=os.environ | variables)
    check(run.returncode == 0, f"{script}: {run.stderr[-2000:]}")
    return run.stdout


def lines_of(script, *arguments):
    return [json.loads(line) for line in output_of(script, *arguments).splitlines() if line.startswith("{")]


def test_file():
    lines = lines_of("file.sh", CLIP)
    check(FRAMES / 2 < len(lines) <= FRAMES, f"file.sh: {len(lines)} lines for {FRAMES} frames")
    times = [line["timestamp"] for line in lines]
    check(times == sorted(set(times)), "file.sh: frames out of order")
    return lines


def test_cameras(alone):
    with tempfile.TemporaryDirectory() as folder:
        names = [str(CLIP), folder + "/a name with 100%.mp4", folder + "/c.mp4"]
        for name in names[1:]:
            os.symlink(CLIP, name)
        lines = lines_of("cameras.sh", MODEL, *names)
        for name in names:
            mine = [line["objects"] for line in lines if line["source"] == name]
            check(mine == [line["objects"] for line in alone], f"cameras.sh: {name} has not the objects that it has alone")


def classifier_model():
    shared = pathlib.Path(os.environ.get("LEAT_SHARED", PIPELINES.parent.parent / "shared"))
    return shared / "data" / "models" / "onnx" / "SqueezeNet_fp16.onnx"


def is_classified(item):
    return any(key.startswith("classification_layer_name:") for key in item)


def test_classify():
    classifier = classifier_model()
    if not classifier.exists():
        print("classify.sh was not run: no shared test data beside the checkout")
        return
    lines = lines_of("classify.sh", CLIP, MODEL, classifier, "car")
    objects = [o for line in lines for o in line["objects"]]
    labels = {o["detection"]["label"]: is_classified(o) for o in objects}
    check(labels.get("car") is True, f"classify.sh: cars are not classified: {labels}")
    check(not any(done for label, done in labels.items() if label != "car"), f"classify.sh: not only cars are: {labels}")


def test_track():
    """The ids last, and each stands for one label; with a classifier, what is tracked is classified too."""
    objects = [o for line in lines_of("track.sh", CLIP, MODEL) for o in line["objects"]]
    labels = {}
    for o in objects:
        if "id" in o:
            labels.setdefault(o["id"], []).append(o["detection"]["label"])
    check(labels and all(len(set(names)) == 1 for names in labels.values()), f"track.sh: ids change their labels: {labels}")
    check(max(map(len, labels.values())) > FRAMES / 2, "track.sh: no object keeps its id")
    classifier = classifier_model()
    if not classifier.exists():
        print("track.sh was not run with a classifier: no shared test data beside the checkout")
        return
    objects = [o for line in lines_of("track.sh", CLIP, MODEL, classifier, "truck") for o in line["objects"]]
    check(any("id" in o and is_classified(o) for o in objects), "track.sh: no truck has an id and a class")
    check(all(o["detection"]["label"] == "truck" for o in objects if "id" in o or is_classified(o)),
          "track.sh: not only trucks are tracked and classified")


def test_record():
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "out.mp4")
        lines_of("record.sh", CLIP, file)
        played = subprocess.run(["gst-launch-1.0", "-v", "filesrc", f"location={file}", "!", "decodebin", "!", "identity", "name=i",
                                 "silent=false", "!", "fakesink"], capture_output=True, text=True, timeout=100)
        frames = played.stdout.count("last-message = chain")
        check(frames == FRAMES, f"record.sh: {frames} frames recorded of {FRAMES}: {played.stderr}")


def test_rtsp(server):
    camera = subprocess.Popen([server, CLIP], stdout=subprocess.PIPE, text=True)
    try:
        address = camera.stdout.readline().strip()
        lines = lines_of("rtsp.sh", address)
    finally:
        camera.send_signal(signal.SIGKILL)
        camera.wait()
    check(len(lines) > FRAMES * 0.8, f"rtsp.sh: {len(lines)} frames came of {FRAMES}")
    check(all(line["source"] == address for line in lines), "rtsp.sh: the source is not named")
    inferred = [line for line in lines if "not_inferred" not in line]
    check(any(line.get("objects") for line in inferred), "rtsp.sh: nothing was found")


def test_benchmark():
    text = output_of("benchmark.sh", STREAMS="1 3", SECONDS_EACH="0.2", LOOPS="1", ROUNDS="1")
    rows = [[float(cell) for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    check([row[0] for row in rows] == [1, 3], f"benchmark.sh: not a row for each number of streams: {text}")
    check(all(len(row) == 10 and min(row[:6]) > 0 for row in rows), f"benchmark.sh: something did not run: {text}")


def test_usage():
    for script, *arguments in (["file.sh"], ["rtsp.sh"], ["cameras.sh"], ["classify.sh"], ["track.sh"], ["record.sh"],
                               ["benchmark.sh", "--help"]):
        run = subprocess.run([PIPELINES / script, *arguments], capture_output=True, text=True, timeout=20)
        check(run.returncode == 2 and f"Usage: pipelines/{script}" in run.stderr, f"{script} does not tell its usage: {run.stderr}")


def main():
    test_usage()
    test_cameras(test_file())
    test_classify()
    test_track()
    test_record()
    test_benchmark()
    if len(sys.argv) > 1:
        test_rtsp(sys.argv[1])


main()
