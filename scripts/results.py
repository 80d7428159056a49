"""docs/results.md from the results of studies, and the results themselves beside their studies.

Usage: results.py [--take FOLDER --machine TEXT] [--check]. Without options docs/results.md is written from studies/*/results.csv.
--take first copies what `loraxs study` left in FOLDER (NAME.csv, NAME.json, NAME.svg, NAME-2.svg); --check writes nothing and fails where
docs/results.md is not what would be written."""

import argparse
import csv
import json
import re
import shutil
import sys
from pathlib import Path

STUDIES = ["glue", "parameters", "init", "vectors", "sigma", "importance", "delta", "budget", "storage", "speed", "instruct",
           "combine", "seed", "size", "basis", "spend", "personal"]  # fmt: skip
PAGE = Path("docs/results.md")
HEAD = """# Results

What the studies (`loraxs study NAME`) gave, and below each table how it was made; written by `scripts/results.py`, not by hand. A conclusion needs a difference of more
than two of its standard errors over at least three seeds, paired; "cannot be told" is an answer. Rates and epochs are chosen on a
held-out part of the training data, two rates for each method. The recipes in `studies` state models, data and sizes, which are far
below the paper's: these figures say what holds for small models on small subsets, not what holds for RoBERTa-large.

"""

# What the paper says (arXiv 2405.17604; C1 to C6: its tables, G and H: its appendices), where it is asked, and which answers say it: the arm, what it is compared
# with, and the words that support the claim.
CLAIMS = [
    ("C1", "ranks 25, 20 and 16 are above LoRA and VeRA", "glue", r"LoRA-XS r = (25|20|16)", r"(LoRA r = 8|VeRA r = 256)", {"better"}),
    ("C2", "rank 25 is above full fine-tuning", "glue", r"LoRA-XS r = 25", r"full fine-tuning", {"better"}),
    ("C3", "rank 4 gives most of what tuning gives: it is far above the head alone", "glue", r"LoRA-XS r = 4", r"head alone", {"better"}),
    ("C4", "rank 64 tunes language models as LoRA and full fine-tuning do", "instruct", r"LoRA-XS r = 64", r"(LoRA r = 64|full fine-tuning)", {"better", "cannot be told"}),
    ("C5", "rank 32 is above LoRA", "instruct", r"LoRA-XS r = 32", r"LoRA r = 64", {"better"}),
    ("G", "the top singular vectors are the right ones", "vectors", r"(middle|bottom)", r"top", {"worse"}),
    ("H", "the singular values belong into A", "sigma", r"without sigma", r"with sigma", {"worse"}),
    ("§5", "smaller ranks on more modules beat larger ranks on fewer", "budget", r".*(r = 22|r = 16|r = 13)", r"query alone, r = 32", {"better"}),
    ("C6", "random bases are below the SVD of W", "init", r"(random|SVD of random)", r"SVD of W", {"worse"}),
]  # fmt: skip
COMPARED = re.compile(r"(?P<task>.+?): (?P<arm>.+?) against (?P<other>.+?): (?P<difference>.+?) \((?P<count>\d+) seeds?\): (?P<word>better|worse|cannot be told)")  # fmt: skip


def shown(value: str, error: str = "") -> str:
    try:
        number = float(value)
    except ValueError:
        return value
    text = f"{number:.0f}" if number == int(number) else f"{number:.4g}"
    return f"{text} ± {float(error):.2g}" if error else text


def table(path: Path) -> str:
    with path.open() as file:
        rows = list(csv.reader(file))
    header = rows[0]
    columns = [i for i, name in enumerate(header) if not (name.endswith(" error") and name[:-6] in header)]
    errors = {i: i + 1 for i in columns if i + 1 < len(header) and header[i + 1] == header[i] + " error"}
    lines = [[header[i] for i in columns], ["---"] * len(columns)]
    lines += [[shown(row[i], row[errors[i]] if i in errors else "") for i in columns] for row in rows[1:]]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def verdict(words: list[str], supporting: set[str]) -> str:
    hold = sum(word in supporting for word in words)
    open_ = sum(word == "cannot be told" and word not in supporting for word in words)
    for count, told in ((hold, "holds"), (open_, "cannot be told"), (len(words) - hold - open_, "does not hold")):
        if count == len(words):
            return told
    return f"of {len(words)} comparisons {hold} hold, {len(words) - hold - open_} do not, {open_} cannot be told"


def claims() -> str:
    """Each claim of the paper beside the comparisons that were made of it here, with rates and epochs chosen on held-out data."""
    lines = []
    for name, claim, study, arm, other, supporting in CLAIMS:
        path = Path("studies") / study / "results.json"
        answer = json.loads(path.read_text())["answer"] if path.exists() else ""
        found = [m for m in map(COMPARED.match, answer.split("\n")) if m and "best epoch" not in m["task"]]
        found = [m for m in found if re.fullmatch(arm, m["arm"]) and re.fullmatch(other, m["other"])]
        figures = "; ".join(f"{m['task']}: {m['arm']} less {m['other']} {m['difference']}, {m['word']}" for m in found)
        told = verdict([m["word"] for m in found], supporting) if found else "not measured"
        lines.append(f"| {name} | {claim} | [{study}](#{study}) | {told} | {figures} |\n")
    return (
        "## The paper's claims\n\nFor the models, tasks and sizes of `studies`, not for the paper's:\n\n"
        "| | claim | study | here | figures |\n| --- | --- | --- | --- | --- |\n" + "".join(lines) + "\n"
    )


def section(name: str) -> str:
    folder = Path("studies") / name
    if not (folder / "results.csv").exists():
        return f"## {name}\n\nNot measured yet: `loraxs study {name}`.\n\n"
    told = json.loads((folder / "results.json").read_text())
    answer = "".join(f"- {line}\n" for line in told["answer"].split("\n"))
    picture = "".join(f"![{name}](../{one})\n\n" for one in pictures(folder, "results"))
    state = "" if told.get("complete", True) else "Part of the study: the rest was not run.\n\n"
    return (
        f"## {name}\n\n**{told['question']}** The paper: {told['paper']}\n\n{state}{picture}{table(folder / 'results.csv')}\n{answer}\n"
        f"`loraxs study {name}`, {told.get('machine', 'machine not recorded')}.\n\n"
    )


def pictures(folder: Path, name: str) -> list[Path]:
    """NAME.svg, NAME-2.svg, … as a study draws them."""
    return [folder / f"{name}.svg"][: (folder / f"{name}.svg").exists()] + sorted(folder.glob(f"{name}-[0-9].svg"))


def take(source: Path, machine: str) -> None:
    for name in STUDIES:
        if not (source / f"{name}.csv").exists():
            continue
        folder = Path("studies") / name
        folder.mkdir(exist_ok=True)
        shutil.copy(source / f"{name}.csv", folder / "results.csv")
        told = json.loads((source / f"{name}.json").read_text()) | {"machine": machine}
        (folder / "results.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        for picture in pictures(source, name):
            shutil.copy(picture, folder / picture.name.replace(name, "results", 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--take", type=Path)
    parser.add_argument("--machine", default="machine not recorded")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.take:
        take(options.take, options.machine)
    page = HEAD + claims() + "".join(section(name) for name in STUDIES)
    page = page.rstrip("\n") + "\n"
    if not options.check:
        PAGE.write_text(page)
    elif PAGE.read_text() != page:
        sys.exit("docs/results.md is not what scripts/results.py writes; run it")


if __name__ == "__main__":
    main()
