"""Fails when a test that checklist.md names does not exist, or a row names neither a test nor a reason."""
import pathlib
import re
import sys

TESTS = pathlib.Path(sys.argv[1])
DEFINED = re.compile(r"^TEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.M)
NAMED = re.compile(r"`(\w+\.\w+)`")


def rows(text):
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3 and cells[0] != "mechanism" and set(cells[0]) != {"-"}:
            yield cells


def main():
    defined = {f"{suite}.{name}" for path in TESTS.rglob("*.cpp") for suite, name in DEFINED.findall(path.read_text())}
    table = list(rows((TESTS / "devices" / "checklist.md").read_text()))
    found = []
    for mechanism, _, shown in table:
        names = [name for name in NAMED.findall(shown) if not name.endswith(".md")]
        found += [f"{mechanism}: there is no test {name}" for name in names if name not in defined]
        if not names and "here" not in shown:
            found.append(f"{mechanism}: names no test, nor why there is none")
    print("\n".join(found) or f"{len(table)} rows, all of their tests exist")
    return 1 if found or len(table) < 20 else 0


sys.exit(main())
