"""Import, export, merge, combine, sweep, nearest and study as a user meets them. Arguments: PROGRAM ORACLES."""

import json
import re
import shutil
import sys
import unittest
from pathlib import Path

import numpy as np
import safetensors.numpy
from support.tiny_run import TinyRunTest, run

PROGRAM, ORACLES = sys.argv[1], Path(sys.argv[2])
ROBERTA, LOANS = ORACLES / "tiny_roberta", ORACLES / "exchange"


def updates_of(folder: Path) -> dict[str, np.ndarray]:
    """ΔW = scale B A of every module of a PEFT LoRA, by PEFT's rule for alpha, rank and their patterns."""
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = safetensors.numpy.load_file(folder / "adapter_model.safetensors")
    updates = {}
    for name, a in tensors.items():
        if not name.endswith(".lora_A.weight"):
            continue
        module = name.removesuffix(".lora_A.weight")
        a, b = a.astype(np.float64), tensors[f"{module}.lora_B.weight"].astype(np.float64)
        alpha = next((v for k, v in config["alpha_pattern"].items() if re.search(rf"(^|.*\.){k}$", module)), config["lora_alpha"])  # fmt: skip
        updates[module] = b @ a * (alpha / (len(a) ** (0.5 if config["use_rslora"] else 1)))
    return updates


class ExchangeTest(TinyRunTest):
    oracles = ORACLES

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.trained(PROGRAM, "run")
        cls.first, cls.second = (str(cls.folder / f"run/seed-{seed}/best.safetensors") for seed in (0, 1))

    def command(self, name: str, *more: str, model: Path | None = None) -> list[str]:
        return [
            PROGRAM,
            name,
            "--model",
            str(model or self.folder / "model"),
            "--cache",
            str(self.folder / "cache"),
            *more,
        ]

    def succeeds(self, command: list[str]) -> list[str]:
        result = run(command)
        self.assertEqual(result.returncode, 0, f"{command}: {result.stderr}")
        return result.stdout.splitlines()

    def test_import_exact_and_projected(self) -> None:
        source, out = str(LOANS / "reference_tiny_roberta/ft"), self.folder / "imported"
        out.mkdir()
        line = json.loads(self.succeeds(self.command("import", "--from", source, "--out", str(out / "a.safetensors"), "--json", model=ROBERTA))[0])  # fmt: skip
        self.assertEqual(line["basis"], "imported_svd")
        self.assertTrue(Path(line["basis_file"]).exists())
        self.assertNotIn("residual", line)
        again = self.folder / "again"
        export = self.command(
            "export", "--adapter", line["out"], "--format", "reference", "--out", str(again), model=ROBERTA
        )
        self.succeeds(export)
        self.assertTrue((again / "ft/adapter_model.safetensors").exists())
        lora, refused = str(LOANS / "loras/lora0"), self.folder / "refused.safetensors"
        self.refused(self.command("import", "--from", lora, "--out", str(refused), "--rank", "4", model=ROBERTA), "relative residual", "--threshold")  # fmt: skip
        self.refused(self.command("import", "--from", lora, "--out", str(refused), "--rank", "4"), "not in this model")
        self.refused(self.command("import", "--out", str(refused), model=ROBERTA), "--from FOLDER")
        self.assertFalse(refused.exists())

    def test_lora_as_it_is(self) -> None:
        out = self.folder / "lora.safetensors"
        command = self.command("import", "--from", str(LOANS / "loras/lora0"), "--out", str(out), "--json", model=ROBERTA)  # fmt: skip
        line = json.loads(self.succeeds(command)[0])
        self.assertEqual((line["kind"], line["rank"], line.get("basis")), ("lora", 3, None))
        again = self.folder / "lora"
        self.succeeds(self.command("export", "--adapter", str(out), "--format", "peft", "--out", str(again), model=ROBERTA))  # fmt: skip
        both = [
            safetensors.numpy.load_file(folder / "adapter_model.safetensors")
            for folder in (LOANS / "loras/lora0", again)
        ]
        self.assertEqual(both[0].keys(), both[1].keys())
        for name, value in both[0].items():
            self.assertTrue((value == both[1][name]).all(), name)
        rows = self.succeeds(self.command("import", "--in", str(LOANS / "loras"), "--out", str(self.folder / "as-they-are"), model=ROBERTA))  # fmt: skip
        self.assertEqual(sum("as it is" in row for row in rows), 4)

    def test_a_sum_of_loras_is_the_sum_of_their_updates(self) -> None:
        """Concatenated exactly, through import, combine and export; PEFT's own files and rule are the oracle."""
        parts, weights = [LOANS / f"loras/lora{k}" for k in (0, 1)], (0.7, 0.3)
        files = [str(self.folder / f"part-{k}.safetensors") for k in range(2)]
        for part, file in zip(parts, files, strict=True):
            self.succeeds(self.command("import", "--from", str(part), "--out", file, model=ROBERTA))
        expression, out = f"0.7*{files[0]} + 0.3*{files[1]}", self.folder / "sum-as-peft"
        self.succeeds(self.command("export", "--adapter", expression, "--format", "peft", "--out", str(out), model=ROBERTA))  # fmt: skip
        expected: dict[str, np.ndarray] = {}
        for part, weight in zip(parts, weights, strict=True):
            for module, update in updates_of(part).items():
                expected[module] = expected.get(module, 0) + weight * update
        found = updates_of(out)
        self.assertEqual(found.keys(), expected.keys())
        for module, update in expected.items():
            self.assertLess(np.abs(found[module] - update).max(), 1e-6 * np.abs(update).max(), module)
        first = updates_of(parts[0])  # control
        self.assertTrue(any(np.abs(first[m] - expected[m]).max() > 0.1 * np.abs(expected[m]).max() for m in first))

    def test_import_of_a_folder(self) -> None:
        source = self.folder / "loans"
        shutil.copytree(LOANS / "loras", source)
        shutil.copytree(LOANS / "loras/lora0", source / "short")
        (source / "short/adapter_model.safetensors").write_bytes(b"short")
        out = self.folder / "many"
        command = self.command("import", "--in", str(source), "--out", str(out), "--rank", "16", "--threshold", "1", "--json", model=ROBERTA)  # fmt: skip
        result = run(command)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("1 of 5 adapters were refused", result.stderr)
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual([("error" in line) for line in lines], [False] * 4 + [True])
        self.assertEqual(sorted(path.name for path in out.iterdir()), [f"lora{i}.safetensors" for i in range(4)])
        for line in lines[:4]:
            self.assertGreater(line["residual"], 0)
        near = self.succeeds(self.command("nearest", "--adapter", str(out / "lora0.safetensors"), "--in", str(out), "--json", model=ROBERTA))  # fmt: skip
        distances = [json.loads(line)["distance"] for line in near]
        self.assertEqual(distances, sorted(distances))
        self.assertEqual(len(distances), 3)
        # One that is no LoRA-XS hinders no other and is named; an empty folder says how deep it was read.
        plain = out / "plain.safetensors"
        self.succeeds(self.command("import", "--from", str(LOANS / "loras/lora1"), "--out", str(plain), model=ROBERTA))
        nearest = ["nearest", "--adapter", str(out / "lora0.safetensors"), "--json", "--in"]
        beside = run(self.command(*nearest, str(out), model=ROBERTA))
        self.assertEqual((beside.returncode, beside.stdout.splitlines()), (2, near), beside.stderr)
        self.assertRegex(beside.stderr, r"^loraxs: .*plain.safetensors: expected an adapter of lora_xs, found lora")
        (self.folder / "shelf/inside").mkdir(parents=True)
        self.refused(self.command(*nearest, str(self.folder / "shelf"), model=ROBERTA), "folders inside are not read")

    def test_merge_dtypes_and_formats(self) -> None:
        merged = self.folder / "half"
        self.succeeds(self.command("merge", "--adapter", self.first, "--out", str(merged), "--dtype", "bfloat16"))
        self.assertEqual(json.loads((merged / "config.json").read_text())["dtype"], "bfloat16")
        adapter = ["--adapter", self.first]
        self.refused(self.command("merge", *adapter, "--out", str(self.folder / "m"), "--dtype", "q8_0"), "GGUF bases")
        self.refused(self.command("merge", *adapter, "--out", str(self.folder / "m.gguf")), "expected a folder")
        self.refused(self.command("export", *adapter, "--format", "gguf", "--out", str(self.folder / "a.gguf")), "GGUF files hold", "bert")  # fmt: skip
        for name in ("m", "m.gguf", "a.gguf"):
            self.assertFalse((self.folder / name).exists())

    def test_merge_of_a_base_without_tokenizer_says_so(self) -> None:
        for name, expected in (("with", True), ("without", False)):
            model, merged = self.folder / f"{name}-base", self.folder / f"{name}-merged"
            shutil.copytree(self.folder / "model", model)
            if not expected:
                (model / "vocab.txt").unlink()
            done = run(self.command("merge", "--adapter", self.first, "--out", str(merged), "--json", model=model))
            self.assertEqual((done.returncode, json.loads(done.stdout)["tokenizer"]), (0, expected), done.stderr)
            self.assertEqual("has no tokenizer" in done.stderr, not expected, done.stderr)

    def test_merge_keeps_every_file_but_the_weights(self) -> None:
        model, merged, back = (self.folder / name for name in ("whole", "whole-merged", "whole-back"))
        shutil.copytree(self.folder / "model", model, ignore=lambda _, names: {n for n in names if n.endswith(".safetensors") and n != "model.safetensors"})  # fmt: skip
        own = {path.name for path in model.iterdir()}
        config = (model / "config.json").read_bytes()
        kept = ["README.md", "chat_template.jinja", "generation_config.json", "added_tokens.json", "spiece.model", ".gitattributes",
                "additional_chat_templates/tool_use.jinja", "1_Pooling/config.json", "2_Dense/model.safetensors", "modules.json",
                "training_args.bin", "LICENSE"]  # fmt: skip
        left = ["pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack", "model.onnx", "model-q8_0.gguf",
                "consolidated.00.pth", "onnx/model.onnx", "checkpoint-50/optimizer.pt", "consolidated.safetensors"]  # fmt: skip
        for name in (*kept, *left, ".git/HEAD"):
            (model / name).parent.mkdir(parents=True, exist_ok=True)
            (model / name).write_text(f"{name} as it was")
        (model / "linked.txt").symlink_to("README.md")
        (model / "round").symlink_to(".", target_is_directory=True)
        command = self.command("merge", "--adapter", self.first, "--out", str(merged), "--json", model=model)
        done = run(command)
        self.assertEqual(done.returncode, 0, done.stderr)
        expected = sorted({name.split("/")[0] + ("/" if "/" in name else "") for name in left} | {"round"})
        self.assertEqual(sorted(json.loads(done.stdout)["left_out"]), expected)
        self.assertIn("pytorch_model.bin", done.stderr)
        for name in kept:
            self.assertEqual((merged / name).read_text(), f"{name} as it was")
        self.assertFalse((merged / "linked.txt").is_symlink())
        self.assertEqual((merged / "linked.txt").read_text(), "README.md as it was")
        names = {path.relative_to(merged).as_posix() for path in merged.rglob("*") if path.is_file()}
        self.assertEqual(names, own | set(kept) | {"linked.txt"})
        written = json.loads((merged / "config.json").read_text())
        changed = {key for key in written if written[key] != json.loads(config).get(key)}
        self.assertLessEqual(changed, {"architectures", "id2label", "label2id", "problem_type"})
        self.succeeds(self.command("unmerge", "--adapter", self.first, "--merged", str(merged), "--out", str(back), model=model))  # fmt: skip
        self.assertEqual((back / "pytorch_model.bin").read_text(), "pytorch_model.bin as it was")
        self.assertEqual((back / "model.safetensors").read_bytes(), (model / "model.safetensors").read_bytes())
        self.assertFalse((back / ".git").exists())

    def test_rows_in_16_bit(self) -> None:
        """Half the bytes, read wherever float32 is; what rounding changes is told, and stands in the digest."""
        data = ["--task", "classification", "--data", str(self.folder / "validation.csv"), "--json"]
        values = [json.loads(self.succeeds(self.command("eval", "--adapter", self.first, *data))[-1])["value"]]
        row = safetensors.numpy.load_file(self.first)["row"]
        for dtype, numpy_type, most in (("bfloat16", None, 0.05), ("float16", np.float16, 0.005)):
            out = self.folder / f"{dtype}.safetensors"
            export = self.command("export", "--adapter", self.first, "--format", "loraxs", "--dtype", dtype, "--out", str(out))  # fmt: skip
            line = self.succeeds(export)[-1]
            change = float(line.split("logits differ by at most ")[1].split()[0])
            self.assertGreater(change, 0)
            self.assertLess(change, most)
            self.assertLess(out.stat().st_size, Path(self.first).stat().st_size - 1.9 * row.size)
            if numpy_type is not None:
                self.assertTrue((safetensors.numpy.load_file(out)["row"] == row.astype(numpy_type)).all())
            scored = json.loads(self.succeeds(self.command("eval", "--adapter", str(out), *data))[-1])
            values.append(scored["value"])
            self.succeeds(self.command("combine", f"0.5*{out} + 0.5*{self.second}", "--out", f"{out}-sum", "--head", "none"))  # fmt: skip
            self.succeeds(self.command("merge", "--adapter", str(out), "--out", f"{out}-merged"))
            whole = out.read_bytes()
            (self.folder / "relabelled.safetensors").write_bytes(
                whole.replace(b'"BF16"', b'"F16" ') if dtype == "bfloat16" else whole.replace(b'"F16"', b'"BF16"', 1)
            )
            self.refused(self.command("eval", "--adapter", str(self.folder / "relabelled.safetensors"), *data))
        self.assertLess(max(values) - min(values), 0.06)
        self.refused(self.command("export", "--adapter", self.first, "--format", "peft", "--dtype", "float16", "--out", str(self.folder / "p")), "--format loraxs")  # fmt: skip

    def test_params_has_the_papers_ratios(self) -> None:
        lines = self.succeeds([PROGRAM, "params", "tests/configs/roberta-large.json", "--rank", "16", "--targets", "query,value", "--vera-rank", "16", "--json"])  # fmt: skip
        found = json.loads(lines[0])
        self.assertEqual(found["lora_ratio"], 2 * 1024 / 16)  # 2 n / r
        self.assertEqual(found["vera_ratio"], (1024 + 16) / 16**2)  # (n + r) / r²
        self.assertEqual(found["vera_rank"], 16)
        self.assertEqual(found["lora_xs_row_bytes_16_bit"] * 2, found["lora_xs_row_bytes"])
        text = "\n".join(self.succeeds([PROGRAM, "params", "tests/configs/roberta-large.json"]))
        for part in ("2n/r", "LoRA 144 MiB, LoRA-XS 96 KiB", "1536 to 1", "151 TB and 98 GB"):
            self.assertIn(part, text)

    def test_combine_means_and_sweeps(self) -> None:
        clients, out = self.folder / "clients", self.folder / "mean.safetensors"
        clients.mkdir()
        shutil.copy(self.first, clients / "one.safetensors")
        shutil.copy(self.second, clients / "two.safetensors")
        self.succeeds(self.command("combine", f"mean({clients})", "--out", str(out)))
        data = ["--task", "classification", "--data", str(self.folder / "validation.csv")]
        report = self.folder / "sweep.html"
        sweep = self.command("sweep", "--from", self.first, "--to", self.second, "--points", "3", *data, "--report", str(report), "--json")  # fmt: skip
        points = [json.loads(line) for line in self.succeeds(sweep)]
        self.assertEqual([point["t"] for point in points], [0, 0.5, 1])
        for point, adapter in zip(points, (self.first, str(out), self.second), strict=True):
            scored = self.succeeds(self.command("eval", "--adapter", adapter, *data, "--json"))
            self.assertAlmostEqual(json.loads(scored[0])["value"], point["value"], places=6)
        self.assertIn("<svg", report.read_text())
        self.refused(sweep, "expected nothing there")  # a report is not written over
        report.unlink()
        self.refused([part if part != "3" else "1" for part in sweep], "at least 2 points")
        self.refused(self.command("combine", "mean(/nowhere)", "--out", str(self.folder / "x.safetensors")), "/nowhere")

    def test_heads_of_one_draw_combine_with_any_weights(self) -> None:
        rates = "train.learning_rate=[0,1e-3,1e-2]", "train.head_learning_rate=[0,1e-2]"
        self.trained(PROGRAM, "grid", *(part for rate in rates for part in ("--set", rate)))

        def adapter(rate: str, head: str, seed: int) -> str:
            return str(self.folder / f"grid/lr-{rate}-head-{head}-seed-{seed}/last.safetensors")

        def row(path: str | Path) -> np.ndarray:
            return safetensors.numpy.load_file(path)["row"].astype(np.float64)

        one, other, start = adapter("0.001", "0.01", 0), adapter("0.01", "0.01", 0), adapter("0", "0", 0)
        out, numbers = self.folder / "difference.safetensors", 2 * 32 + 2  # of the head, at the end of a row
        self.succeeds(self.command("combine", f"{one} - 0.5*{other}", "--out", str(out)))
        plain = row(one) - 0.5 * row(other)
        head = plain[-numbers:] + 0.5 * row(start)[-numbers:]
        np.testing.assert_allclose(row(out)[:-numbers], plain[:-numbers], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(row(out)[-numbers:], head, rtol=1e-6, atol=1e-7)
        self.assertGreater(np.abs(row(start)[-numbers:]).max(), 0.01)  # control: h₀ matters
        elsewhere = str(self.folder / "x.safetensors")
        self.refused(self.command("combine", f"{one} - 0.5*{adapter('0.01', '0.01', 1)}", "--out", elsewhere), "weights that sum to 1", "--head")  # fmt: skip
        self.refused(self.command("combine", f"{out} - 0.5*{out}", "--out", elsewhere), "weights that sum to 1")

    def test_study(self) -> None:
        report = self.folder / "energy.html"
        data = ["--task", "classification", "--data", str(self.folder / "validation.csv"), "--set", f"train={self.folder / 'train.csv'}"]  # fmt: skip
        study = self.command("study", "energy", *data, "--rank", "4", "--examples", "16")
        lines = [json.loads(line) for line in self.succeeds([*study, "--report", str(report), "--json"])]
        self.assertEqual(len(lines), 3 * 6)  # every projection of three layers
        for line in lines:
            self.assertLessEqual(line["weight"], line["gradient"] * (1 + 1e-9))
            self.assertAlmostEqual(line["expected_random"], 16 / (line["out_features"] * line["in_features"]))
        self.assertIn("<svg", report.read_text())
        self.assertEqual(self.succeeds([*study, "--format", "csv"])[0].split(",")[0], "projection")
        adapted = [json.loads(line) for line in self.succeeds([*study, "--adapter", self.first, "--json"])]
        self.assertNotEqual(adapted, lines)  # another point, another gradient
        self.refused([part if part != "4" else "99" for part in study], "--rank: expected at most 32")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
