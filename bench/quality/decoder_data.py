"""Writes the subsets on which docs/benchmarks.md compares decoders: train, held-out and test records of two kinds.

usage: decoder_data.py commonsense|metamath|gsm8k SOURCE OUT
SOURCE of commonsense: the folder of LLM-Adapters' sets (arc_easy, boolq, …, each with train.json and test.json): the first
120 training records of four sets, taken in turn, the last 20 test records of each as held-out data, and a file of the first 100
of each for grading. SOURCE of metamath: a .jsonl of MetaMathQA's schema: 128 records of each type, taken in turn, for training,
20 others of each as held-out data. SOURCE of gsm8k: the folder with train.jsonl and test.jsonl: the first 384 and 128 records.
"""

import json
import sys
from pathlib import Path

SETS = ["arc_easy", "boolq", "openbookqa", "winogrande"]
TRAIN, WORKED, HELD, TEST = 120, 128, 20, 100


def in_turn(lists: list[list]) -> list:
    return [record for row in zip(*lists, strict=True) for record in row]


def write(path: Path, records: list) -> None:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def commonsense(source: Path, out: Path) -> None:
    train = [json.loads((source / name / "train.json").read_text()) for name in SETS]
    test = [json.loads((source / name / "test.json").read_text()) for name in SETS]
    write(out / "train.jsonl", in_turn([records[:TRAIN] for records in train]))
    write(out / "held.jsonl", in_turn([records[-HELD:] for records in test]))
    for name, records in zip(SETS, test, strict=True):
        write(out / f"{name}.jsonl", records[:TEST])


def metamath(source: Path, out: Path) -> None:
    records = [json.loads(line) for line in source.read_text().splitlines()]
    types = sorted({record["type"] for record in records})
    lists = [[record for record in records if record["type"] == kind] for kind in types]
    write(out / "train.jsonl", in_turn([records[:WORKED] for records in lists]))
    write(out / "held.jsonl", in_turn([records[-HELD:] for records in lists]))


def gsm8k(source: Path, out: Path) -> None:
    for name, kept, count in (("train.jsonl", "train.jsonl", 384), ("test.jsonl", "held.jsonl", 128)):
        lines = (source / name).read_text().splitlines()[:count]
        write(out / kept, [json.loads(line) for line in lines])


WRITERS = {"commonsense": commonsense, "metamath": metamath, "gsm8k": gsm8k}

if __name__ == "__main__":
    kind, source, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    WRITERS[kind](source, out)
