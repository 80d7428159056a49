"""Faults of the environment around every command that writes: nobody else's file is touched, and no run is lost.

usage: faults.py PROGRAM PRELOAD ORACLES [--faults N] [--seed S] [--only COMMAND]

One fault per trial, at a random file call (file_faults.cpp): an error that may go away or stay, half a write, a kill, a
file that vanishes. The program must end with exit 0, or 2 and one sentence; what it wrote is whole or absent; decoys and
inputs keep every byte; nothing half-written is left; and the same command, for a run with --resume, then gives the bytes
of an undisturbed one. First a planted mistake, a stray removal, must be found.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support.tiny_run import make_data, make_model, make_recipe, results_of

ERRORS = ("ENOSPC", "EROFS", "EACCES", "EIO", "EMFILE", "EDQUOT")
INPUTS = (
    "model",
    "decoder",
    "decoder.gguf",
    "train.csv",
    "validation.csv",
    "recipe.yaml",
    "adapters",
    "lora",
    "merged",
)
UNFINISHED = ".loraxs-unfinished-"
SETTINGS = ["--set", "train.eval_every=4", "--set", "train.epochs=1"]


@dataclass
class Work:
    """A command in a folder of its own: what it runs, and what it leaves by name."""

    name: str
    more: list[str]
    outputs: tuple[str, ...] = ()  # none: a run, which is compared by its results
    model: str = "model"

    def is_run(self) -> bool:
        return self.name in ("train", "resume", "full")


def works() -> list[Work]:
    one, other = "adapters/one.safetensors", "adapters/two.safetensors"
    on = ["--adapter", one]
    return [
        Work("train", SETTINGS),
        Work("resume", [*SETTINGS, "--resume"]),
        Work("full", [*SETTINGS, "--set", "method={name: full}"]),
        Work("merge", ["merge", *on, "--out", "out", "--json"], ("out",)),
        Work("unmerge", ["unmerge", *on, "--merged", "merged", "--subtract", "--out", "out"], ("out",)),
        Work("peft", ["export", *on, "--format", "peft", "--out", "out"], ("out",)),
        Work("reference", ["export", *on, "--format", "reference", "--out", "out"], ("out",)),
        Work("loraxs", ["export", *on, "--format", "loraxs", "--out", "out.safetensors"], ("out.safetensors",)),
        Work("combine", ["combine", f"0.5*{one} + 0.5*{other}", "--out", "out.safetensors"], ("out.safetensors",)),
        Work("basis", ["basis", "--rank", "2", "--out", "out.safetensors"], ("out.safetensors",)),
        Work("folder", ["convert", "--out", "out"], ("out",), "decoder.gguf"),
        Work("gguf", ["convert", "--out", "out.gguf", "--dtype", "q8_0"], ("out.gguf",), "decoder"),
        Work("init", ["init", "out.yaml", "--train", "train.csv"], ("out.yaml",)),
        Work("import", ["import", "--from", "lora/ft", "--out", "imported/a.safetensors"], ("imported",)),
    ]


def tree_of(folder: Path) -> dict[str, object]:
    """Itself and every entry below: mode and bytes, or where it leads."""
    tree: dict[str, object] = {}
    for path in [folder, *(folder.rglob("*") if folder.is_dir() and not folder.is_symlink() else [])]:
        name = str(path.relative_to(folder))
        if path.is_symlink():
            tree[name] = os.readlink(path)
        elif path.exists():
            tree[name] = (path.stat().st_mode, path.read_bytes() if path.is_file() else "folder")
    return tree


def plant_decoys(folder: Path) -> list[str]:
    """What somebody may keep beside an output, under names as near to ours as names can be."""
    files = [
        ".git/config", ".ssh/id", ".hidden", ".loraxs", ".loraxs-run", f"{UNFINISHED}mine", f"{UNFINISHED}abc1234/file",
        "run.bak/recipe.yaml", "run2/metrics.jsonl", "run2/checkpoints/step-1/state.json", ".run.AbC123/file",
        "out2/config.json", "out.bak", ".out.XyZ123", "out.safetensors.basis", ".out.safetensors.abc123",
        "imported/.hidden", "imported/a.safetensors.basis", "checkpoints/step-3/rows.safetensors", "seed-0/best.safetensors",
        "target/file",
    ]  # fmt: skip
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"mine: {name}")
    (folder / "link").symlink_to("target/file")
    (folder / "link-to-folder").symlink_to("target")
    (folder / "loose-link").symlink_to("nowhere")
    os.link(folder / "target/file", folder / "hard-link")
    return [*files, "link", "link-to-folder", "loose-link", "hard-link"]


def plant_inside(run_folder: Path) -> list[str]:
    """What somebody may keep inside a run that has begun."""
    names = [".notes", "notes.txt", ".git/config", "checkpoints/.keep", "checkpoints/step-1-kept/state.json", "seed-0/.keep"]  # fmt: skip
    for name in names:
        path = run_folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"mine: {name}")
    (run_folder / "link").symlink_to("../target")
    return [f"{run_folder.name}/{name}" for name in [*names, "link"]]


def is_unfinished(path: Path) -> bool:
    return re.fullmatch(rf"{UNFINISHED}\w{{6}}", path.name) is not None


def below(name: str, folder: str) -> bool:
    return name == folder or name.startswith(folder + "/")


class Bench:
    """The tiny model, its adapters, and what every command gives undisturbed."""

    def __init__(self, program: str, preload: str, oracles: Path, scratch: Path) -> None:
        self.program, self.preload, self.scratch = program, preload, scratch
        self.counts: dict[str, int] = {}
        self.expected: dict[str, dict] = {}
        self.pristine = pristine = scratch / "pristine"
        pristine.mkdir()
        make_model(oracles, pristine / "model")
        make_data(pristine)
        shutil.copy(oracles / "gguf/chat.gguf", pristine / "decoder.gguf")
        recipe = make_recipe(Path())  # paths are relative: every trial has its own copy
        (pristine / "recipe.yaml").write_text(json.dumps(recipe | {"output": "run"}))
        self.undisturbed(Work("train", SETTINGS), pristine)
        (pristine / "adapters").mkdir()
        for seed, name in enumerate(("one", "two")):
            shutil.copy(pristine / f"run/seed-{seed}/best.safetensors", pristine / f"adapters/{name}.safetensors")
        shutil.rmtree(pristine / "run")
        on = ["--adapter", "adapters/one.safetensors"]
        self.undisturbed(Work("merge", ["merge", *on, "--out", "merged"]), pristine)
        self.undisturbed(Work("export", ["export", *on, "--format", "reference", "--out", "lora"]), pristine)
        self.undisturbed(Work("folder", ["convert", "--out", "decoder"], model="decoder.gguf"), pristine)
        # A run that was killed at about its middle.
        half = self.fresh("half")
        count = self.undisturbed(Work("train", SETTINGS), half)
        shutil.rmtree(half / "run")
        killed = self.execute(Work("train", SETTINGS), half, FAULT="kill", FAULT_AT=str(count * 2 // 3))
        if killed.returncode != -9 or not list((half / "run/checkpoints").glob("step-*")):
            sys.exit(f"expected a killed run with checkpoints, exit {killed.returncode}: {killed.stderr}")
        self.half = half / "run"

    def execute(self, work: Work, folder: Path, **environment: str) -> subprocess.CompletedProcess:
        if work.is_run():
            command = [self.program, "train", "recipe.yaml", *work.more]
        else:
            command = [self.program, work.more[0], "--model", work.model, *work.more[1:]]
        preload = {"LD_PRELOAD": self.preload, "FAULT_ROOT": str(folder)}
        return subprocess.run(
            [*command, "--cache", "cache", "-q"],
            cwd=folder,
            env=os.environ | preload | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def undisturbed(self, work: Work, folder: Path, **environment: str) -> int:
        """Runs the command; returns the number of calls that a fault could meet."""
        count_file = self.scratch / "count"
        done = self.execute(work, folder, COUNT_FILE=str(count_file), **environment)
        if done.returncode != 0:
            sys.exit(f"{work.name}: the undisturbed command failed: {done.stderr}")
        return int(count_file.read_text())

    def fresh(self, name: str) -> Path:
        folder = self.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.pristine, folder)
        return folder

    def prepare(self, work: Work, name: str) -> tuple[Path, list[str]]:
        """A folder to work in, and the names of what is somebody else's there."""
        folder = self.fresh(name)
        decoys = plant_decoys(folder)
        if work.name == "resume":
            shutil.copytree(self.half, folder / "run")
            decoys += plant_inside(folder / "run")
        return folder, decoys

    def learn(self, work: Work) -> None:
        for reads in "01":
            folder, _ = self.prepare(work, "learn")
            self.counts[work.name + reads] = self.undisturbed(work, folder, FAULT_READS=reads)
        self.expected[work.name] = self.outcome(work, folder)

    def outcome(self, work: Work, folder: Path) -> dict:
        if not work.is_run():
            return {name: tree_of(folder / name) for name in work.outputs}
        merged = {f"seed-{s}/merged": tree_of(folder / f"run/seed-{s}/merged") for s in (0, 1)}
        return results_of(folder / "run") | (merged if work.name == "full" else {})

    def victims(self, work: Work) -> list[str]:
        """What may vanish: inputs and our own files, never a folder with decoys in it."""
        inputs = ["model/model.safetensors", "model/vocab.txt", "cache"]
        if work.model != "model":
            inputs = ["decoder.gguf", "decoder/model.safetensors", "decoder/tokenizer.json", "cache"]
        if not work.is_run():
            return [*inputs, "adapters", *(name for name in work.outputs if name != "imported")]
        inside = [
            "metrics.jsonl", "recipe.yaml", "events.out.tfevents.loraxs", ".loraxs-run",
            *(f"checkpoints/step-{step}" for step in range(1, 7)), "checkpoints/step-4/rows.safetensors",
        ]  # fmt: skip
        whole = [] if work.name == "resume" else ["run", "run/checkpoints", "run/seed-0"]
        return [*inputs, "train.csv", *whole, *(f"run/{name}" for name in inside)]

    def choose_fault(self, work: Work, choose: random.Random) -> dict[str, str]:
        reads = choose.choice("01")
        fault = {"FAULT_READS": reads, "FAULT_AT": str(choose.randint(1, self.counts[work.name + reads]))}
        kind = choose.choice(("error", "error", "error", "stays", "short", "kill", "vanish"))
        if kind == "error":
            return fault | {"FAULT": choose.choice(ERRORS)}
        if kind == "stays":
            return fault | {"FAULT": choose.choice(ERRORS[:3]), "FAULT_STAYS": "1"}
        if kind == "vanish":
            return fault | {"FAULT": "vanish", "FAULT_VICTIM": choose.choice(self.victims(work))}
        return fault | {"FAULT": kind}

    def trial(self, work: Work, fault: dict[str, str], number: int) -> list[str]:
        """What went wrong: nothing, or sentences."""
        folder, decoys = self.prepare(work, "trial")
        victim = fault.get("FAULT_VICTIM", "") if fault["FAULT"] == "vanish" else ""
        mine = [name for name in [*decoys, *INPUTS] if not (victim and below(victim, name))]
        kept = {name: tree_of(folder / name) for name in mine}
        problems: list[str] = []

        def check(ok: bool, what: object) -> None:
            if not ok:
                problems.append(f"{work.name} #{number} {fault}: {what}")

        def check_kept(when: str) -> None:
            for name, before in kept.items():
                check(tree_of(folder / name) == before, f"{name} is not what it was, {when}")

        done = self.execute(work, folder, **fault)
        if done.returncode == 2:
            lines = [line for line in done.stderr.splitlines() if not line.startswith("loraxs: warning:")]
            check(len(lines) == 1 and len(lines[0]) <= 500 and "filesystem error" not in lines[0], done.stderr)
        else:
            check(done.returncode == (-9 if fault["FAULT"] == "kill" else 0), f"exit {done.returncode}: {done.stderr}")
        check_kept("after the fault")
        if fault["FAULT"] in ("vanish", "stray"):  # elsewhere the removal of a leftover may be what failed
            check(not [path for path in folder.rglob("*") if is_unfinished(path)], "something half-written is left")
        if not work.is_run():
            # A base may be without a tokenizer: then so is what is merged, and it is said.
            said = victim == "model/vocab.txt" and '"tokenizer":false' in done.stdout
            absent = Path(victim).name if said else ""
            self.check_outputs(work, folder, done.returncode, absent, check)

        # The environment is well again.
        for name in INPUTS:
            if victim and below(victim, name):
                self.restore(folder / name, self.pristine / name)
        for name in work.outputs:
            clear(folder / name, folder, decoys)
        more = [*(part for part in work.more if part != "--resume"), "--resume"] if work.is_run() else work.more
        again = self.execute(Work(work.name, more, work.outputs, work.model), folder)
        check(again.returncode == 0, f"then: exit {again.returncode}: {again.stderr}")
        if again.returncode == 0:
            found, expected = self.outcome(work, folder), self.expected[work.name]
            # Lines that are gone do not come back.
            differs = [key for key in expected if found[key] != expected[key] and f"run/{key}" != victim]
            check(not differs, f"then: other bytes in {differs}")
        check_kept("in the end")
        return problems

    def restore(self, path: Path, source: Path) -> None:
        if source.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(source, path)
        else:
            shutil.copy(source, path)

    def check_outputs(
        self, work: Work, folder: Path, code: int, absent: str, check: Callable[[bool, object], None]
    ) -> None:
        """An output is whole, but for what is said to be absent, or is not there."""
        for name in work.outputs:
            expected, found = self.expected[work.name][name], tree_of(folder / name)
            if name == "imported":  # a folder of somebody's, with our files in it
                wrong = [
                    entry for entry in found if not is_unfinished(Path(entry)) and found[entry] != expected.get(entry)
                ]
                check(not wrong, f"exit {code}: half-written {wrong}")
            elif found or code == 0:
                whole = {entry: kept for entry, kept in expected.items() if entry != absent}
                check(found == whole, f"exit {code}: {name} is neither whole nor absent")


def clear(path: Path, root: Path, decoys: list[str]) -> None:
    """Takes an output away, but not what is somebody else's in it."""
    for entry in [*path.rglob("*"), path] if path.is_dir() else [path]:
        name = entry.relative_to(root).as_posix()
        if entry.is_file() and name not in decoys:
            entry.unlink()
    if path.is_dir() and not any(below(name, path.name) for name in decoys):
        shutil.rmtree(path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("preload")
    parser.add_argument("oracles", type=Path)
    parser.add_argument("--faults", type=int, default=42)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(options.program, options.preload, options.oracles, Path(scratch))
        choose = random.Random(options.seed)
        all_works = [work for work in works() if options.only in ("", work.name)]
        for work in all_works:
            bench.learn(work)
        for victim in (".hidden", ".git", "link", "model"):
            planted = {"FAULT": "stray", "FAULT_AT": "1", "FAULT_VICTIM": victim}
            if not any("is not what it was" in problem for problem in bench.trial(all_works[-1], planted, 0)):
                sys.exit(f"the planted removal of {victim} was not found: this test sees nothing")
        for number in range(options.faults):
            work = all_works[number % len(all_works)]
            failures += bench.trial(work, bench.choose_fault(work, choose), number)
    calls = {name.removesuffix("0"): count for name, count in bench.counts.items() if name.endswith("0")}
    print(f"{options.faults} faults at calls of {calls}: {len(failures)} failures")
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()
