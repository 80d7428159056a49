"""Adapters in a store: what commands make of them is what they make of the files. Arguments: PROGRAM ORACLES GENERATION."""

import json
import shutil
import sys
import unittest
from pathlib import Path

from safetensors import safe_open
from support.tiny_run import TrainedRunTest, run, train_command
from support.varied_adapter import write_varied

PROGRAM, ORACLES, MODEL = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
TEXTS = "abc xyz\nhello kq\nxyz\nkq kq abc\n"


class StoreTest(TrainedRunTest):
    oracles, program = ORACLES, PROGRAM

    def setUp(self) -> None:
        self.place = self.folder / self.id().rpartition(".")[2]
        self.place.mkdir()
        self.url = f"lmdb://{self.place / 's'}"
        self.files = [self.folder / f"whole/seed-{seed}/best.safetensors" for seed in (0, 1)]

    def store(self, *words: object, code: int = 0) -> list[dict]:
        done = run([PROGRAM, "store", *map(str, words), "--json", "--cache", str(self.folder / "cache")])
        self.assertEqual(done.returncode, code, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def out_of(self, action: str, adapter: object, *more: object) -> str:
        command = [
            PROGRAM,
            action,
            "--model",
            str(self.folder / "model"),
            "--adapter",
            str(adapter),
            "--cache",
            str(self.folder / "cache"),
        ]
        done = run([*command, *map(str, more)])
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def put_both(self) -> list[str]:
        for name, file in zip("ab", self.files, strict=True):
            self.store("put", f"{self.url}#anna/{name}", file)
        return [f"{self.url}#anna/{name}" for name in "ab"]

    def test_commands_give_the_bytes_that_they_give_from_files(self) -> None:
        references = self.put_both()
        texts = self.place / "texts.txt"
        texts.write_text(TEXTS)
        data = ["--task", "classification", "--data", self.folder / "validation.csv", "--json"]
        predicted = []
        for reference, file in zip(references, self.files, strict=True):
            predicted.append(self.out_of("predict", reference, "--input", texts, "--json"))
            self.assertEqual(predicted[-1], self.out_of("predict", file, "--input", texts, "--json"))
            scores = [json.loads(self.out_of("eval", name, *data)) | {"adapter": ""} for name in (reference, file)]
            self.assertEqual(scores[0], scores[1])
        self.assertNotEqual(predicted[0], predicted[1], "the adapters are told apart by nothing")
        sums = [" + ".join(f"0.5*{name}" for name in names) for names in (references, self.files)]
        self.assertEqual(*(self.out_of("predict", each, "--input", texts, "--json") for each in sums))
        for number, names in enumerate((references, self.files)):
            self.out_of("export", names[0], "--format", "peft", "--out", self.place / f"peft-{number}")
            self.out_of("merge", names[0], "--out", self.place / f"merged-{number}")
        for what in ("peft", "merged"):
            for file in sorted((self.place / f"{what}-1").rglob("*.safetensors")):
                twin = self.place / f"{what}-0" / file.relative_to(self.place / f"{what}-1")
                self.assertEqual(twin.read_bytes(), file.read_bytes(), file.name)

    def test_generate_gives_the_same_texts(self) -> None:
        for number in range(2):
            self.store("put", f"{self.url}#anna/v{number}", MODEL / f"adapter-{number}.safetensors")
        shutil.copy(MODEL / "basis.safetensors", self.place / "basis.safetensors")

        def texts(names: list[str]) -> list[str]:
            rows = self.place / "rows.jsonl"
            rows.write_text("".join(json.dumps({"prompt": "abc", "adapter": name}) + "\n" for name in names))
            done = run([PROGRAM, "generate", "--model", str(MODEL), "--input", str(rows), "--json", "-n", "12", "--basis",
                        str(MODEL / "basis.safetensors"), "--cache", str(self.folder / "cache")])  # fmt: skip
            self.assertEqual(done.returncode, 0, done.stderr)
            return [json.loads(line)["text"] for line in done.stdout.splitlines()]

        stored = texts([f"{self.url}#anna/v{number}" for number in range(2)])
        self.assertEqual(stored, texts([str(MODEL / f"adapter-{number}.safetensors") for number in range(2)]))
        self.assertNotEqual(stored[0], stored[1])

    def test_get_writes_the_file_that_was_put(self) -> None:
        for name, file in zip(self.put_both(), self.files, strict=True):
            out = self.place / f"{name[-1]}.safetensors"
            said = self.store("get", name, "--out", out)[0]
            self.assertEqual(said, {"adapter": f"{name}@1", "version": 1, "out": str(out)})
            self.assertEqual(out.read_bytes(), file.read_bytes())
        self.store("put", f"{self.url}#anna/a", self.files[1])
        out = self.place / "newest.safetensors"
        done = run([PROGRAM, "store", "get", f"{self.url}#anna/a", "--out", str(out)])
        self.assertEqual(done.stdout, f"{out}: written from {self.url}#anna/a@2\n")

    def test_versions(self) -> None:
        a = f"{self.url}#anna/a"
        self.assertEqual([line["version"] for line in self.store("put", a, self.files[0])], [1])
        self.assertEqual(self.store("put", a, self.files[0])[0]["added"], False)
        self.assertEqual(self.store("put", a, self.files[1])[0]["version"], 2)
        self.assertEqual(self.store("rollback", f"{a}@1")[0]["version"], 3)
        self.assertEqual([line["version"] for line in self.store("list", a, "--versions")], [3, 2, 1])
        self.assertEqual(self.store("put", a, self.files[1], "--keep", 2)[0]["version"], 4)
        self.assertEqual([line["version"] for line in self.store("list", a, "--versions")], [4, 3])
        self.store("delete", f"{a}@4")
        self.assertEqual(self.store("put", a, self.files[1])[0]["version"], 5)
        self.assertEqual(self.store("delete", a)[0]["deleted_versions"], 2)
        self.assertEqual(self.store("put", a, self.files[1])[0]["version"], 6)

    def test_rounding_is_measured_where_a_model_is_at_hand(self) -> None:
        changes = {}
        for dtype in ("bfloat16", "int8"):
            line = self.store(
                "put", f"{self.url}#anna/{dtype}", self.files[0], "--dtype", dtype, "--model", self.folder / "model"
            )[0]
            changes[dtype] = line["logits_change"]
            self.assertGreater(line["adapter_effect"], 0.01)
        self.assertTrue(0 < changes["bfloat16"] < 0.05 and 0 < changes["int8"] < 0.1, changes)
        rows = {line["name"]: line["row_bytes"] for line in self.store("list", f"{self.url}#anna/")}
        self.assertLess(rows["int8"], rows["bfloat16"])
        self.refused(
            [PROGRAM, "store", "put", f"{self.url}#anna/x", str(self.files[0]), "--dtype", "int8"],
            "--dtype int8: expected --model",
        )

    def test_means_sums_and_neighbours(self) -> None:
        self.put_both()
        combine = [PROGRAM, "combine", f'mean("{self.url}#anna/*")', "--model", str(self.folder / "model"), "--out"]
        done = run([*combine, f"{self.url}#bob/mean", "--cache", str(self.folder / "cache")])
        self.assertEqual(done.returncode, 0, done.stderr)
        files = self.place / "files"
        files.mkdir()
        for name, file in zip("ab", self.files, strict=True):
            shutil.copy(file, files / f"{name}.safetensors")
        texts = self.place / "texts.txt"
        texts.write_text(TEXTS)
        mean = self.out_of("predict", f"{self.url}#bob/mean", "--input", texts, "--json")
        self.assertEqual(mean, self.out_of("predict", f"mean({files})", "--input", texts, "--json"))
        near = self.out_of("nearest", f"{self.url}#bob/mean", "--in", f"{self.url}#anna/*", "--json").splitlines()
        self.assertEqual({json.loads(line)["adapter"][-1] for line in near}, {"a", "b"})

    def combined(self, expression: str, out: object) -> list[str]:
        model = ["--model", str(self.folder / "model"), "--cache", str(self.folder / "cache")]
        return [PROGRAM, "combine", expression, "--out", str(out), *model]

    def test_a_sum_says_the_version_that_it_became(self) -> None:
        for version, expression in enumerate((f"{self.files[0]}", f"0.5*{self.files[0]} + 0.5*{self.files[1]}"), 1):
            done = run(self.combined(expression, f"{self.url}#lm/zero"))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(done.stdout.startswith(f"{self.url}#lm/zero@{version}: "), done.stdout)
        self.refused(
            self.combined(str(self.files[0]), f"{self.url}#lm/zero@3"), "#lm/zero: version: expected none", "@3"
        )
        self.refused(self.combined(str(self.files[0]), f"{self.url}#lm/"), "expected one adapter")
        self.assertEqual(len(self.store("list", f"{self.url}#lm/zero", "--versions")), 2)

    def test_numbers_that_are_too_large_are_refused(self) -> None:
        out = self.place / "inf.safetensors"
        for place in (out, f"{self.url}#anna/inf"):
            said = self.refused(
                self.combined(f"1e45*{self.files[0]}", place), "1e45*", "expected finite numbers in the sum"
            )
            self.assertIn("the factor is too large", said)
        texts = self.place / "texts.txt"
        texts.write_text(TEXTS)
        on_model = ["--model", str(self.folder / "model"), "--cache", str(self.folder / "cache")]
        self.refused([PROGRAM, "predict", *on_model, "--input", str(texts), "--adapter", f"1e45*{self.files[0]}"],
                     "expected finite numbers in the sum")  # fmt: skip
        huge = str(write_varied(self.files[0], self.place / "huge.safetensors", 1, 1e37))
        for dtype in ("bfloat16", "int8"):
            put = [PROGRAM, "store", "put", f"{self.url}#anna/huge", huge, "--dtype", dtype, *on_model]
            self.refused(put, huge, "expected finite outputs")
        merged = self.place / "merged"
        self.refused([PROGRAM, "merge", *on_model, "--adapter", huge, "--out", str(merged)], "expected finite outputs")
        rounded = [*on_model, "--adapter", huge, "--format", "loraxs", "--dtype", "bfloat16", "--out", str(out)]
        self.refused([PROGRAM, "export", *rounded], "expected finite outputs")
        self.assertEqual([path.name for path in sorted(self.place.iterdir())], ["huge.safetensors", "texts.txt"])

    def test_a_damaged_row_is_said_beside_the_others(self) -> None:
        self.put_both()
        self.store("put", f"{self.url}#anna/b", self.files[0])
        data = self.place / "s" / "1" / "data.mdb"
        with safe_open(self.files[1], "np") as file:  # version 1 of b
            row = file.get_tensor("row").tobytes()[:64]
        self.store("put", f"{self.url}#anna/c", self.files[1])
        before = data.read_bytes()
        self.assertIn(row, before)
        data.write_bytes(before.replace(row, bytes([row[0] ^ 1]) + row[1:]))
        listed = run([PROGRAM, "store", "list", self.url])
        self.assertEqual((listed.returncode, len(listed.stdout.splitlines())), (2, 4), listed.stdout)
        self.assertIn("#anna/c@1: damaged", listed.stderr)
        self.assertEqual([line["name"] for line in self.store("list", self.url, code=2)], ["a", "b"])
        versions = self.store("list", f"{self.url}#anna/b", "--versions", code=2)
        self.assertEqual([line["version"] for line in versions], [2])
        self.assertEqual(self.store("list", f"{self.url}#anna/c", "--versions", code=2), [])
        # Of four versions b@1 and c@1 are damaged.
        backup, copy = self.place / "backup", f"lmdb://{self.place / 'copy'}"
        for words, result in (
            (["backup", self.url, "--out", backup], {"problems": 2}),
            (["compact", self.url], {"problems": 2}),
            (["copy", self.url, copy], {"versions": 2, "renumbered": 0, "problems": 2}),
        ):
            done = run([PROGRAM, "store", *map(str, words), "--json"])
            self.assertEqual(done.returncode, 2, done.stderr)
            said = json.loads(done.stdout)
            self.assertEqual(said | result, said)
            for name in ("b@1", "c@1"):
                self.assertIn(f"{self.url}#anna/{name}: damaged", done.stderr)
        for url, versions in ((self.url, 4), (f"lmdb://{backup}", 4), (copy, 2)):
            self.assertEqual(self.store("stat", url)[0]["versions"], versions)
        self.assertEqual(self.store("verify", copy)[0]["problems"], 0)
        self.store("put", f"{self.url}#anna/c", self.files[0])
        self.assertEqual([line["version"] for line in self.store("list", f"{self.url}#anna/c", "--versions")], [2])

    def test_older_versions_stand_behind_a_damaged_one(self) -> None:
        a = f"{self.url}#anna/a"
        for file in self.files:
            self.store("put", a, file)
        with safe_open(self.files[1], "np") as file:
            row = file.get_tensor("row").tobytes()[:64]
        data = self.place / "s" / "1" / "data.mdb"
        data.write_bytes(data.read_bytes().replace(row, bytes([row[0] ^ 1]) + row[1:]))
        out = self.place / "out.safetensors"
        get = [PROGRAM, "store", "get", a, "--out", str(out)]
        self.refused(get, f"{a}@2: damaged", f"; loraxs store rollback {a}@1 makes the version before it the newest")
        self.store("get", f"{a}@1", "--out", out)
        self.assertEqual(out.read_bytes(), self.files[0].read_bytes())
        self.assertEqual([line["version"] for line in self.store("list", a, "--versions", code=2)], [1])
        self.assertEqual(self.store("rollback", f"{a}@1")[0]["version"], 3)
        self.assertEqual(self.store("delete", f"{a}@1")[0]["deleted_versions"], 1)

    def test_show_describes_a_stored_adapter(self) -> None:
        shown = []
        for name in (self.put_both()[0], self.files[0]):
            done = run([PROGRAM, "show", str(name), "--json"])
            self.assertEqual(done.returncode, 0, done.stderr)
            shown.append(json.loads(done.stdout))
        self.assertEqual(shown[0]["bytes"], 4 * shown[0]["numbers"])
        own = {"path": "", "bytes": 0, "model": ""}  # of the file, and of the run that it lies in
        self.assertEqual((shown[0].pop("version"), shown[0].pop("dtype")), (1, "float32"))
        self.assertEqual(shown[0] | own, shown[1] | own)
        self.refused([PROGRAM, "show", f"{self.url}#anna/c"], "found none of that name")
        self.refused([PROGRAM, "show", self.url], "expected one adapter")

    def test_stat_verify_copy_backup_compact(self) -> None:
        self.put_both()
        stat = self.store("stat", self.url, "--model", self.folder / "model")[0]
        self.assertEqual((stat["adapters"], stat["tenants"], stat["kinds"]), (2, 1, 1))
        self.assertGreater(stat["lora_bytes_per_adapter"], 0)
        self.store("put", f"{self.url}#anna/a", self.files[1])  # a version more is no adapter more
        stat = self.store("stat", self.url)[0]
        self.assertEqual((stat["versions"], stat["bytes_per_adapter"]), (3, stat["bytes"] // 2))
        self.assertEqual(self.store("verify", self.url)[0]["problems"], 0)
        self.store("backup", self.url, "--out", self.place / "backup")
        self.assertEqual(
            self.store("copy", f"lmdb://{self.place / 'backup'}", f"lmdb://{self.place / 'copy'}")[0]["versions"], 3
        )
        self.store("compact", self.url)
        listed = [self.store("list", url) for url in (self.url, f"lmdb://{self.place / 'copy'}")]
        for line in (line for lines in listed for line in lines):
            line["adapter"] = ""
        self.assertEqual(listed[0], listed[1])

    def test_bad_input_is_one_sentence(self) -> None:
        self.put_both()
        file, model = str(self.files[0]), str(self.folder / "model")
        texts = self.place / "texts.txt"
        texts.write_text(TEXTS)
        predict = [PROGRAM, "predict", "--model", model, "--input", str(texts), "--adapter"]
        for command, *parts in (
            ([*predict, f"{self.url}#anna/c"], "#anna/c", "found none of that name"),
            ([*predict, f"{self.url}#carl/a"], "found no adapter of carl"),
            (
                [*predict, f"{self.url}#anna/a@7"],
                "expected a version from 1 to 1",
                f"list {self.url}#anna/a --versions",
            ),
            ([*predict, f"{self.url}-none#anna/a"], "found no such folder"),
            ([*predict, "redis://host#anna/a"], "found the scheme redis"),
            ([*predict, "postgresql://u@127.0.0.1:1/db#anna/a"], "cannot connect to PostgreSQL"),
            ([PROGRAM, "store", "put", f"{self.url}#anna/../b", file], "name: expected 1 to 128 letters"),
            ([PROGRAM, "store", "put", f"{self.url}#anna/a b", file], "name: expected 1 to 128 letters"),
            ([PROGRAM, "store", "put", f"{self.url}#{'a' * 10_240}/b", file], "tenant: expected 1 to 64"),
            ([PROGRAM, "store", "put", f"{self.url}#anna/x", f"{self.folder}/model"], "found a folder"),
            ([PROGRAM, "store", "put", f"{self.url}#anna/x@5", file], "#anna/x: version: expected none", "found @5"),
            (
                [PROGRAM, "store", "put", f"{self.url}#anna/", *map(str, self.files)],
                *map(str, self.files),
                "found best of",
            ),
            ([PROGRAM, "store", "put", f"lmdb://{texts}#anna/x", file], "found a file; a store is a folder"),
            ([PROGRAM, "store", "list", f"{self.url}#anna/a@1"], "--versions lists all of a name, found @1"),
            ([PROGRAM, "store", "list", f"{self.url}#anna/a@1", "--versions"], "found @1"),
            *(
                ([PROGRAM, "store", *words], "expected the store's URL alone", "#anna/a")
                for words in (
                    ["verify", f"{self.url}#anna/a"],
                    ["stat", f"{self.url}#anna/a"],
                    ["compact", f"{self.url}#anna/a"],
                    ["copy", self.url, f"{self.url}2#anna/a"],
                    ["backup", f"{self.url}#anna/a", "--out", f"{self.place}/b"],
                )
            ),
            (
                train_command(PROGRAM, self.folder, "x", "--set", f"output={self.url}"),
                "output: expected a folder",
                self.url,
            ),
            ([PROGRAM, "store", "get", f"{self.url}#anna/a"], "expected --out FILE"),
            ([PROGRAM, "store", "get", f"{self.url}#anna/a", "--out", file], "expected nothing there"),
            ([PROGRAM, "store", "stat", self.url, "--keep", "2"], "--keep: expected an action that has it"),
        ):
            with self.subTest(command=command[1:]):
                self.refused(command, *parts)
        self.refused(
            [PROGRAM, "store", "put", f"lmdb://{self.place / 'new'}#a/b", str(self.place / "no.safetensors")],
            "no.safetensors",
        )
        self.assertFalse((self.place / "new").exists(), "a store was made for a file that is not there")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
