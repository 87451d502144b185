"""Installs into an empty folder, and builds and runs a program against what is there through pkg-config."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(os.environ["LEAT_SOURCE_ROOT"])
BUILD = pathlib.Path(os.environ["LEAT_BUILD"])

PROGRAM = r"""
#include <leat/core.h>
#include <leat/request.h>
#include <cstdio>

int main(int, char **argv)
{
    leat::InferRequest request(leat::Core::compile_model(leat::Core::read_model(argv[1]), "CPU"));
    for (float &value : request.tensor("images").values<float>())
        value = 0.5f;
    request.infer();
    const leat::Tensor &output = request.tensor("output0");
    std::printf("%s\n", leat::to_string(output.shape()).c_str());
    for (float value : output.values<float>())
        if (!(value > -1e4f && value < 1e4f))
            return 1;
}
"""


def run(*command, **options):
    result = subprocess.run(command, capture_output=True, text=True, **options)
    if result.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return result.stdout


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", folder)
        packages = [path for path in folder.rglob("leat.pc")]
        libraries = [path.parent for path in folder.rglob("libleat.so")]
        if len(packages) != 1 or len(libraries) != 1:
            sys.exit(f"installed: {sorted(str(p.relative_to(folder)) for p in folder.rglob('*'))}")
        for wanted in ("leat", "libgstleat.so", "core.h", "leat.h", "vision.h", "detect.c", "picture.cpp"):
            if not list(folder.rglob(wanted)):
                sys.exit(f"{wanted} is not installed")
        environment = os.environ | {"PKG_CONFIG_PATH": str(packages[0].parent), "PKG_CONFIG_SYSROOT_DIR": name,
                                    "LD_LIBRARY_PATH": str(libraries[0])}
        flags = run("pkg-config", "--cflags", "--libs", "leat", env=environment).split()
        (folder / "program.cpp").write_text(PROGRAM)
        compiler = shutil.which("c++")
        run(compiler, "-std=c++20", folder / "program.cpp", "-o", folder / "program", *flags, env=environment)
        shape = run(folder / "program", ROOT / "pipelines" / "street" / "street.onnx", env=environment)
        if shape.strip() != "1x8x1260":
            sys.exit(f"the output's shape is {shape}")


main()
