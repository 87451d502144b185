"""Adds up what the test programs reported and prints failures, skips with their reasons, and the closing line.

A folder per build holds meson's testlog.json and one GoogleTest XML file a program. A program that wrote no XML, because it
crashed or is no GoogleTest program, counts as one test.
"""
import json
import pathlib
import sys
import xml.etree.ElementTree as xml


def cases_in(path):
    """(name, 'passed' | 'failed' | 'skipped', reason) of every test case in a GoogleTest XML file."""
    for case in xml.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        if case.find("failure") is not None:
            yield name, "failed", case.find("failure").get("message", "")
        elif case.find("skipped") is not None or case.get("result") == "skipped":
            skipped = case.find("skipped")
            yield name, "skipped", "" if skipped is None else skipped.get("message", "")
        elif case.get("status") != "notrun":
            yield name, "passed", ""


def program_of(test):
    return pathlib.Path(test["command"][0]).name


def results_of(build):
    """Every test of one build's folder."""
    reports = {path.stem: path for path in build.glob("*.xml")}
    for line in (build / "testlog.json").read_text().splitlines():
        test = json.loads(line)
        found = list(cases_in(reports[program_of(test)])) if program_of(test) in reports else []
        outcome = {"OK": "passed", "EXPECTEDFAIL": "passed", "SKIP": "skipped"}.get(test["result"], "failed")
        if not found or (outcome == "failed" and all(result != "failed" for _, result, _ in found)):
            text = test.get("stdout", "") + test.get("stderr", "")
            found.append((test["name"], outcome, text[-3000:] if outcome == "failed" else text.strip()[-200:]))
        for name, result, reason in found:
            yield f"{build.name}: {name}", result, reason.strip()


def main():
    results = [result for build in sorted(pathlib.Path(sys.argv[1]).iterdir()) for result in results_of(build)]
    counts = {kind: [r for r in results if r[1] == kind] for kind in ("passed", "failed", "skipped")}
    for kind in ("skipped", "failed"):
        for name, _, reason in counts[kind]:
            print(f"{kind.upper()} {name}" + (f": {reason}" if reason else ""))
    print(f"{len(counts['passed'])} passed, {len(counts['failed'])} failed, {len(counts['skipped'])} skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
