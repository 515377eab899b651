"""Counts what keeps the house liveable, and prints it: `python tests/house.py [ROOT]`. No test, but tests use it.

Folders, long files and functions, files without tests of their own, and how often the things that shall exist once are
there. Standard library only, and it reads text: run it on any checkout, an older one too.
"""

import ast
import re
import sys
from pathlib import Path

LONGEST_FILE, LONGEST_FUNCTION, MOST_PARAMETERS, FULLEST_FOLDER = 320, 50, 7, 17

FOREIGN_SIGNATURES = {"pedantic"}  # pytest-benchmark's own
COMMANDS = re.compile(r"typer\.(Option|Argument)|Annotated\[|: (Results|RunName|Tracking|JsonFile|DataRoot|File)\b")

ONCE = {
    "a whole file written": r"\.replace\((path|target|self\.path)\)|os\.replace\(",
    "Markdown escaped": r"replace\([^)]*\\\\\\\\|re\.sub\(r?\"\(\[\\\\\\\\",
    "JSON lines read with a deadline": r"while b\"\\n\" not in|partition\(b\"\\n\"\)",
    "a file locked": r"fcntl\.flock\([^)]*LOCK_EX(?! \| fcntl\.LOCK_NB\))|fcntl\.flock\([^)]*LOCK_EX \| fcntl\.LOCK_NB",
    "a module loaded by its path": r"spec_from_file_location\(",
    "one seed learned": r"TrainingStep\(\s*build|TrainingStep\(\s*model",
    "blocks to medians by process": r"(setdefault\(process, \[\]\)|processes\.get\(process\))",
    "flat knobs of a record": r"for section in [\w.]*trial\.values\(\)",
    "accuracies by seed": r"for \w+ in [\w.]*seeds if [\w.]*test_accuracy is not None",
    "the phases' names": r"\(?\"forward\", \"backward\", \"step\"\)?",
    "an exception in one line": r"def (describe|first_line)\(error",
    "out of memory recognised": r"\"out of memory\"",
    "the command line's shared options": r"^Results = Annotated",
}
"""What shall exist once, and a pattern that finds a copy of it; each file counts once."""


def read_sources(root):
    """Text by path, relative to the root, of bench and lenet."""
    return {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for package in ("bench", "lenet")
        for path in sorted((root / package).rglob("*.py"))
    }


def fullest_folder(sources):
    """(modules, folder), heads of packages not counted."""
    folders = {}
    for file in sources:
        if not file.endswith("__init__.py"):
            folders.setdefault(str(Path(file).parent), []).append(file)
    return max((len(files), folder) for folder, files in folders.items())


def long_files(sources):
    """(lines, file) of every file that is too long."""
    counts = {file: len(text.splitlines()) for file, text in sources.items()}
    return sorted(((count, file) for file, count in counts.items() if count > LONGEST_FILE), reverse=True)


def large_functions(sources):
    """(lines, parameters, place) of every function that is too long or takes too much; commands may take more."""
    found = []
    for file, text in sources.items():
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name in FOREIGN_SIGNATURES:
                continue
            arguments = node.args
            names = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            parameters = len([name for name in names if name.arg not in ("self", "cls")])
            lines = node.end_lineno - node.lineno + 1
            signature = ast.get_source_segment(text, node).partition('"""')[0]
            if COMMANDS.search(signature) and file.startswith("bench/cli"):
                first = next((one for one in node.body if not isinstance(one, ast.Expr)), node.body[0])
                lines, parameters = node.end_lineno - first.lineno + 1, 0
            if lines > LONGEST_FUNCTION or parameters > MOST_PARAMETERS:
                found.append((lines, parameters, f"{file}:{node.name}"))
    return sorted(found, reverse=True)


def files_without_tests(root, sources):
    """Files that have no test file of their name: tests/<folder>/test_<file>.py, tests/lenet/ for lenet."""
    missing = []
    for file in sources:
        path = Path(file)
        if path.name in ("__init__.py", "__main__.py"):
            continue
        inner = path.parent.relative_to("bench") if path.parts[0] == "bench" else path.parent
        if not (root / "tests" / inner / f"test_{path.stem}.py").exists():
            missing.append(file)
    return missing


def copies(sources):
    """For each thing that shall exist once: the files that have it."""
    return {
        what: [file for file, text in sources.items() if re.search(pattern, text, re.MULTILINE)]
        for what, pattern in ONCE.items()
    }


def main():
    """Prints the counts as Markdown."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1]).resolve()
    sources = read_sources(root)
    count, folder = fullest_folder(sources)
    missing = files_without_tests(root, sources)
    print(f"| what | count | which |\n|---|--:|---|\n| files | {len(sources)} | |")
    print(f"| lines | {sum(len(text.splitlines()) for text in sources.values())} | |")
    print(f"| modules in the fullest folder (at most {FULLEST_FOLDER}) | {count} | {folder} |")
    for name, rows in (
        (f"files over {LONGEST_FILE} lines", [f"{file} {lines}" for lines, file in long_files(sources)]),
        (
            f"functions over {LONGEST_FUNCTION} lines or {MOST_PARAMETERS} parameters",
            [f"{place} {lines}/{parameters}" for lines, parameters, place in large_functions(sources)],
        ),
        ("files without a test file of their name", missing),
    ):
        print(f"| {name} | {len(rows)} | {', '.join(rows)} |")
    for what, files in copies(sources).items():
        print(f"| places of: {what} | {len(files)} | {', '.join(files)} |")


if __name__ == "__main__":
    main()
