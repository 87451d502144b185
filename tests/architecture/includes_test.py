"""Reads every #include and fails on one that points up the floors of docs/architecture.md, or to a library of another floor."""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])

# Folder: the folders and files that it may include, its own among them.
FLOORS = {
    "include/leat": [],
    "inference": ["inference"],
    "preprocess": ["preprocess", "inference"],
    "devices": ["devices", "preprocess", "inference"],
    "gst": ["gst", "devices", "preprocess", "inference"],
    "tools": ["tools", "gst/frame.h", "devices", "preprocess", "inference"],
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

TOP_FOLDERS = {folder.split("/")[0] for folder in FLOORS}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def lies_in(path, places):
    return any(path == place or path.startswith(place + "/") for place in places)


def faults(path, folder):
    here = str(path.parent.relative_to(ROOT))
    for kind, target in INCLUDE.findall(path.read_text()):
        if kind == "<":
            for prefix, allowed in LIBRARIES.items():
                if target.startswith(prefix) and not lies_in(here, allowed):
                    yield f"{path.relative_to(ROOT)} includes <{target}>, which belongs to {', '.join(allowed)}"
            continue
        local = (path.parent / target).resolve()
        resolved = local if local.exists() else (ROOT / target).resolve()
        if not resolved.is_relative_to(ROOT):
            continue
        included = str(resolved.relative_to(ROOT))
        if not lies_in(included, FLOORS[folder]) and (folder == "include/leat" or lies_in(included, TOP_FOLDERS)):
            yield f"{path.relative_to(ROOT)} includes \"{target}\", but {folder}/ may include only {', '.join(FLOORS[folder]) or 'libraries'}"


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
