"""Runs every command of the README that is about pipelines or the `leat` command, as it is printed there."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(os.environ["LEAT_SOURCE_ROOT"])
BUILD = pathlib.Path(os.environ["LEAT_BUILD"])
STREET = ROOT / "pipelines" / "street"


def commands():
    """Command lines of the README's sh blocks: continuation lines joined, comments removed."""
    for block in re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r"\s+#.*", "", line).strip()
            if line.startswith(("gst-launch-1.0", "build/tools/leat")):
                yield line


def run(command, folder):
    return subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, timeout=200)


def prepared(folder):
    """A folder in which the README's relative names exist, with a tensor and a picture made by Leat's own elements."""
    (folder / "build").symlink_to(BUILD)
    (folder / "pipelines").symlink_to(ROOT / "pipelines")
    (folder / "MODEL.onnx").symlink_to(STREET / "street.onnx")
    made = run(f"gst-launch-1.0 -q filesrc location={STREET}/street.mp4 ! decodebin ! videoconvert ! jpegenc snapshot=true ! "
               "filesink location=picture.jpg", folder)
    if made.returncode:
        sys.exit(made.stderr)
    name, shape = street_input(folder)
    count = 1
    for size in shape:
        count *= size
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    (folder / "FILE.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(4 * count))
    return name


def street_input(folder):
    shown = run("build/tools/leat inspect --json MODEL.onnx", folder)
    if shown.returncode:
        sys.exit(shown.stderr)
    port = json.loads(shown.stdout)["inputs"][0]
    return port["name"], port["shape"]


def main():
    found = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        input_name = prepared(folder)
        for command in commands():
            result = run(command.replace("NAME=", f"{input_name}="), folder)
            found += 1
            print(f"{result.returncode} {command}")
            if result.returncode:
                sys.exit(result.stdout[-2000:] + result.stderr[-2000:])
            if "leatpublish" in command and '"objects"' not in result.stdout:
                sys.exit("no objects published:\n" + result.stdout[-2000:])
    if found < 5:
        sys.exit(f"only {found} commands found in the README")


main()
