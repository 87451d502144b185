"""Reads every #include and fails on one that points up the floors of docs/architecture.md, or to a library of another floor."""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])

# Folder: the floors that it may include, its own among them.
FLOORS = {
    "include/leat": [],
    "inference": ["inference"],
    "preprocess": ["preprocess", "inference"],
    "devices": ["devices", "preprocess", "inference"],
    "gst": ["gst", "devices", "preprocess", "inference"],
    "tools": ["tools", "gst", "devices", "preprocess", "inference"],
}

# Library header prefix: the only folders that may include it.
LIBRARIES = {
    "gst/": ["gst", "tools"],
    "glib": ["gst", "tools"],
    "CL/": ["devices/opencl"],
    "va/": ["devices/va"],
    "dnnl": ["devices/cpu"],
    "oneapi/": ["devices/cpu"],
    "omp.h": ["devices/cpu"],
    "tbb/": ["devices", "preprocess"],
    "cairo": ["gst"],
    "pango": ["gst"],
    "CLI/": ["tools"],
    "onnx/": ["inference"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def faults(path, folder):
    here = str(path.parent.relative_to(ROOT))
    for kind, target in INCLUDE.findall(path.read_text()):
        if kind == "<":
            for prefix, allowed in LIBRARIES.items():
                if target.startswith(prefix) and not any(here == a or here.startswith(a + "/") for a in allowed):
                    yield f"{path.relative_to(ROOT)} includes <{target}>, which belongs to {', '.join(allowed)}"
            continue
        local = (path.parent / target).resolve()
        resolved = local if local.exists() else (ROOT / target).resolve()
        if not resolved.is_relative_to(ROOT):
            continue
        floor = resolved.relative_to(ROOT).parts[0]
        if folder == "include/leat" or (floor not in FLOORS[folder] and floor in {f.split("/")[0] for f in FLOORS}):
            yield f"{path.relative_to(ROOT)} includes \"{target}\" of {floor}/, which does not lie below {folder}/"


def main():
    read = 0
    found = []
    for folder in FLOORS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".h", ".cpp"}:
                read += 1
                found += faults(path, folder)
    print("\n".join(found) or f"{read} files, every include points down")
    return 1 if found or not read else 0


sys.exit(main())
