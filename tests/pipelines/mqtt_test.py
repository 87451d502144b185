"""leatpublish method=mqtt against a mosquitto broker on this machine: every message arrives once and in order."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

STREET = pathlib.Path(os.environ["LEAT_SOURCE_ROOT"]) / "pipelines" / "street"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_listening(port):
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit("mosquitto does not listen")


def pipeline(destination):
    return subprocess.run(
        f"gst-launch-1.0 -q filesrc location={STREET}/street.mp4 ! decodebin ! videoconvert ! identity eos-after=41 ! "
        f"leatdetect model={STREET}/street.onnx ! leatmetaconvert add-empty-results=true ! leatpublish {destination} ! fakesink",
        shell=True, capture_output=True, text=True, timeout=120)


def main():
    broker = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
    if not broker or not shutil.which("mosquitto_sub"):
        print("mosquitto is not installed")
        sys.exit(77)
    if "mqtt" not in subprocess.run(["gst-inspect-1.0", "leatpublish"], capture_output=True, text=True).stdout:
        print("built without MQTT")
        sys.exit(77)
    port = free_port()
    refused = pipeline(f"method=mqtt address=127.0.0.1:{port} topic=street connect-timeout=2")
    if "cannot be reached" not in refused.stderr:
        sys.exit(f"no error without a broker: {refused.stderr}")
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "mosquitto.conf")
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        server = subprocess.Popen([broker, "-c", config], stderr=subprocess.DEVNULL)
        try:
            wait_until_listening(port)
            subscriber = subprocess.Popen(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-t", "street", "-q", "1", "-C", "40",
                                           "-W", "60"], stdout=subprocess.PIPE, text=True)
            time.sleep(0.5)
            run = pipeline(f"method=mqtt address=tcp://127.0.0.1:{port} topic=street")
            if run.returncode:
                sys.exit(run.stderr)
            lines = subscriber.communicate(timeout=70)[0].splitlines()
        finally:
            server.terminate()
            server.wait()
    times = [json.loads(line)["timestamp"] for line in lines]
    if len(times) != 40 or times != sorted(set(times)):
        sys.exit(f"{len(times)} messages of 40, timestamps {times}")


main()
