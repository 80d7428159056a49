"""Which folder of src may include which (docs/architecture.md, section Folders), and where a subcommand stands. Run by
`make structure`."""

import re
import sys
from pathlib import Path

LIBRARY = ["io", "report", "text", "data", "batch", "ops", "store", "model", "adapt", "generate", "eval", "train", "api"]
ALLOWED = {
    "io": [],
    "report": ["io"],
    "text": ["io"],
    "batch": ["io"],
    "data": ["io", "text", "batch"],
    "ops": ["io"],
    "store": ["io"],
    "model": ["io", "batch", "ops"],
    "adapt": ["io", "text", "batch", "ops", "model"],
    "generate": ["io", "text", "batch", "model", "adapt"],
    "eval": ["io", "text", "data", "batch", "ops", "model", "adapt"],
    "train": ["io", "report", "text", "data", "batch", "ops", "model", "adapt", "eval"],
    "api": ["io", "report", "text", "data", "batch", "ops", "store", "model", "adapt", "generate", "eval", "train"],
    "serve": LIBRARY,
    "commands": [*LIBRARY, "serve", "cli"],
    "cli": ["io"],
    "python": ["io", "text", "data", "batch", "ops", "store", "model", "adapt", "eval", "train", "api"],
}
WITHOUT_TORCH = ["io", "report", "text", "batch", "data", "store", "cli"]
# JSON from outside has bounds on depth, size and time: io/json.h is its one reader.
JSON_READER = "io/json.cpp"
JSON_PARSE = re.compile(r"(?<![A-Za-z])[jJ]son::(?:parse|accept|sax_parse|from_\w+)\b|\bjson_sax\b")
# A subcommand NAME: a row of the table, cli/subcommands/NAME.h and NAME.cpp, commands/NAME.cpp.
TABLE = "cli/subcommands.h"
ROW = re.compile(r'^#include "cli/subcommands/(\w+)\.h"$', re.MULTILINE)
RUN = re.compile(r"^int run\(const \w+Options&", re.MULTILINE)
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def problems_of(root: Path) -> list[str]:
    problems = []
    for path in sorted(root.rglob("*")):
        if path.suffix not in (".h", ".cpp"):
            continue
        name = path.relative_to(root).as_posix()
        folder = name.split("/")[0]
        if folder not in ALLOWED:
            problems.append(f"{name}: folder {folder} has no row in the table")
            continue
        lines = path.read_text().splitlines()
        if path.suffix == ".h":
            if not lines or not lines[0].startswith(f"// {name}: "):
                problems.append(f"{name}: the first line should be a comment '// {name}: what it is'")
            if "#pragma once" not in lines:
                problems.append(f"{name}: expected #pragma once")
        for number, line in enumerate(lines, 1):
            if JSON_PARSE.search(line) and name != JSON_READER:
                problems.append(f"{name}:{number}: JSON is read by io/json.h alone, found {line.strip()}")
            match = INCLUDE.match(line)
            if not match:
                continue
            quoted, target = match.group(1) == '"', match.group(2)
            top = target.split("/")[0]
            if quoted and top != folder and top not in ALLOWED[folder]:
                problems.append(f"{name}:{number}: {folder} may not include {target}")
            if folder in WITHOUT_TORCH and top in ("torch", "ATen", "c10"):
                problems.append(f"{name}:{number}: {folder} is built without LibTorch, found {target}")
    return problems


def problems_of_subcommands(root: Path) -> list[str]:
    rows = set(ROW.findall((root / TABLE).read_text()))
    options = {path.stem for path in (root / "cli/subcommands").iterdir()}
    commands = {path.stem for path in (root / "commands").glob("*.cpp") if RUN.search(path.read_text())}
    problems = [f"{TABLE}: expected a row of {name}, which has files" for name in sorted((options | commands) - rows)]
    for name in sorted(rows):
        problems += [
            f"{file}: expected this file of the row {name} in {TABLE}, found none"
            for file in (f"cli/subcommands/{name}.h", f"cli/subcommands/{name}.cpp", f"commands/{name}.cpp")
            if not (root / file).exists()
        ]
    return problems


def self_test(scratch: Path) -> None:
    """A check that cannot fail is no check: planted mistakes must be found."""
    (scratch / "io").mkdir(parents=True)
    (scratch / "io" / "bad.h").write_text(
        '// io/bad.h: planted\n#pragma once\n#include "adapt/basis.h"\n#include <torch/types.h>\n'
        "auto json = nlohmann::ordered_json::parse(text);\n"
    )
    found = problems_of(scratch)
    if len(found) != 3:
        sys.exit(f"check_structure: the self-test found {found}, expected three problems")
    (scratch / "cli/subcommands").mkdir(parents=True)
    (scratch / "commands").mkdir()
    (scratch / TABLE).write_text('#include "cli/subcommands/lost.h"\n')
    (scratch / "cli/subcommands/lost.h").write_text("")
    (scratch / "commands/stray.cpp").write_text("int run(const StrayOptions& options) {}\n")
    found = problems_of_subcommands(scratch)
    if len(found) != 3:
        sys.exit(f"check_structure: the self-test found {found}, expected a row and two files of subcommands")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        self_test(Path(folder) / "src")
    source = Path(__file__).parent.parent / "src"
    problems = problems_of(source) + problems_of_subcommands(source)
    print("\n".join(problems) or "structure: clean")
    sys.exit(1 if problems else 0)
