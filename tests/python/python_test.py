"""The Python module beside the program and transformers. Arguments: PROGRAM ORACLES; PYTHONPATH has the module."""

import ast
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import loraxs
import torch
from safetensors.torch import load_file
from support.broken_model import break_token
from support.model_command import model_command
from support.tiny_run import TinyRunTest, make_recipe, results_of, run
from transformers import AutoModelForSequenceClassification, BertTokenizer

PROGRAM, ORACLES = sys.argv[1], Path(sys.argv[2])
TEXTS = ["abc xyz hello", "kq", "xyz xyz abc kq hello"]


def rows_of(path: Path) -> list[tuple[str, str]]:
    return [tuple(line.rsplit(",", 1)) for line in path.read_text().splitlines()[1:]]


class PythonTest(TinyRunTest):
    oracles = ORACLES

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.trained(PROGRAM, "whole")
        cls.cache = cls.folder / "cache"
        cls.model = loraxs.Model(cls.folder / "model", cache=cls.cache)
        cls.paths = [cls.folder / f"whole/seed-{seed}/best.safetensors" for seed in (0, 1)]

    def recipe(self, name: str) -> dict:
        return make_recipe(self.folder) | {"output": str(self.folder / name)}

    def train(self, name: str, **more) -> loraxs.Run:
        return loraxs.train(self.recipe(name), cache=self.cache, **more)

    def assert_same_run(self, name: str) -> None:
        self.assertEqual(results_of(self.folder / name), results_of(self.folder / "whole"))


class TrainingTest(PythonTest):
    def test_training_is_the_programs(self) -> None:
        events = []
        done = self.train("from_dict", progress=events.append)
        self.assert_same_run("from_dict")
        self.assertEqual([job.seed for job in done.jobs], [0, 1])
        self.assertEqual(done.jobs[0].adapter.read_bytes(), self.paths[0].read_bytes())
        self.assertEqual(sum(event["event"] == "step" for event in events), done.steps)
        best = [event for event in events if event["event"] == "epoch" and event["job"] == "seed-0" and event["best"]]
        self.assertEqual(best[-1][done.metric], done.jobs[0].value)
        resumed = loraxs.train(self.recipe("from_dict"), cache=self.cache, resume=True)  # after its end
        self.assertEqual(resumed.jobs, done.jobs)
        self.assertGreater(resumed.jobs[0].last_loss, 0)
        output = [f"output={self.folder / 'from_file'}"]
        loraxs.train(self.folder / "recipe.yaml", set=output, cache=self.cache)
        self.assert_same_run("from_file")

    def test_rows_in_memory(self) -> None:
        recipe = self.recipe("memory")
        recipe["task"] = {part: rows_of(self.folder / f"{part}.csv") for part in ("train", "validation")}
        done = loraxs.train(recipe, cache=self.cache)
        for job, path in zip(done.jobs, self.paths, strict=True):
            self.assertTrue(torch.equal(load_file(job.adapter)["row"], load_file(path)["row"]))

    def test_regression_in_memory(self) -> None:
        recipe = self.recipe("scores")
        rows = [("abc " * n, "xyz", 0.5 * n) for n in range(1, 12)]
        recipe["task"] = {"name": "regression", "train": rows, "validation": rows}
        done = loraxs.train(recipe, cache=self.cache)
        self.assertEqual(done.metric, "pearson")
        adapter = self.model.open(done.jobs[0].adapter)
        found = loraxs.predict(adapter, [row[:2] for row in rows])
        self.assertEqual((adapter.labels, found[0].label, found[0].scores), ([], "", {}))
        scores = torch.tensor([[one.score for one in found], [row[2] for row in rows]])
        self.assertAlmostEqual(torch.corrcoef(scores)[0, 1].item(), done.jobs[0].value, places=5)

    def test_ctrl_c_and_exceptions_save(self) -> None:
        def interrupt(event: dict) -> None:
            if event.get("step") == 3:
                os.kill(os.getpid(), signal.SIGINT)

        def fail(event: dict) -> None:
            if event.get("step") == 3:
                raise LookupError("mine")

        for name, progress, expected in (("ctrl_c", interrupt, KeyboardInterrupt), ("raised", fail, LookupError)):
            with self.subTest(name):
                with self.assertRaises(expected):
                    self.train(name, progress=progress)
                self.assertTrue(list((self.folder / name).glob("checkpoints/step-*")))
                self.train(name, resume=True)
                self.assert_same_run(name)

    def test_a_fleet_is_the_programs(self) -> None:
        rows = [{"text": text, "label": label} for text, label in rows_of(self.folder / "train.csv")[:20]]
        jobs = [{"tenant": "t", "name": f"u{n}", "examples": rows[n:], "seed": n, "batch_size": 4} for n in range(3)]

        def recipe(name: str) -> dict:
            given = self.recipe(name) | {"task": {"name": "classification"}}
            given["train"] = given["train"] | {"seeds": [0]}
            return given

        def adapters(name: str) -> dict[str, bytes]:
            return {path.name: path.read_bytes() for path in (self.folder / name).rglob("*.safetensors")}

        seen = []
        store = self.folder / "fleet-store"
        done = loraxs.train_fleet(recipe("fleet"), jobs=jobs, store=store, cache=self.cache, progress=seen.append)
        self.assertEqual((done["done"], done["failures"], seen[0]["jobs"]), (3, [], 3))
        path = self.folder / "fleet.yaml"
        content = recipe("program-fleet")
        content["fleet"] = {"jobs": str(self.folder / "fleet.jobs.jsonl"), "store": str(self.folder / "program-store")}
        path.write_text(json.dumps(content))
        ran = run([PROGRAM, "train", str(path), "--cache", str(self.cache), "-q", "--json"])
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual(adapters("fleet-store"), adapters("program-store"))

        def interrupt(counts: dict) -> None:
            if counts["rounds"] == 3:
                raise LookupError("mine")

        more = {"jobs": [*jobs, {"tenant": "t", "name": "bad"}], "cache": self.cache}
        with self.assertRaises(LookupError):
            loraxs.train_fleet(recipe("stopped"), store=self.folder / "stopped-store", progress=interrupt, **more)
        fleet = loraxs.Fleet(recipe("stopped"), store=self.folder / "stopped-store", resume=True, **more)
        while fleet.step():
            self.assertGreater(fleet.counts["rounds"], 3)
        self.assertEqual(fleet.finish()["failed"], 1)
        self.assertEqual(adapters("stopped-store"), adapters("fleet-store"))

        # The base of a fleet that has ended, for the next one of its kind alone.
        more = {"jobs": jobs, "cache": self.cache, "base": fleet.base}
        shared = loraxs.Fleet(recipe("shared"), store=self.folder / "shared-store", **more)
        while shared.step():
            pass
        self.assertEqual(adapters("shared-store"), adapters("fleet-store"))
        for key, value in {"method": {"rank": 2}, "task": {"name": "regression"}, "head": "pooler"}.items():
            with self.assertRaisesRegex(
                loraxs.Error, f"^recipe: {key}: expected that of the fleet whose base this one takes"
            ):
                loraxs.Fleet(recipe("other") | {key: value}, store=self.folder / "other-store", **more)

    def test_mistakes_are_told_as_the_program_tells_them(self) -> None:
        self.assertTrue(issubclass(loraxs.Error, ValueError))
        path = str(self.folder / "recipe.yaml")
        for setting in ("method.rank=0", "train.learning_rat=1", "model=/nowhere", f"output={self.folder / 'whole'}"):
            with self.subTest(setting):
                with self.assertRaises(loraxs.Error) as raised:
                    loraxs.train(path, set=[setting], cache=self.cache)
                self.assertEqual(f"loraxs: {raised.exception}", run([PROGRAM, "train", path, "--set", setting]).stderr.strip())  # fmt: skip
        for train, part in (([("abc", "yes")], "labels"), ([("abc",)], r"train\[0\]"), ([("a", "b", "c", "d")], r"train\[0\]")):  # fmt: skip
            with self.assertRaisesRegex(loraxs.Error, part):
                loraxs.train(self.recipe("no") | {"task": {"train": train}})
        self.assertFalse((self.folder / "no").exists())


class TensorTest(PythonTest):
    def test_rows_are_views(self) -> None:
        adapter = self.model.open(self.paths[0])
        self.assertTrue(torch.equal(adapter.row, load_file(self.paths[0])["row"]))
        self.assertEqual(adapter.tensors["layers.0.query.r"].shape, (4, 4))
        before = loraxs.Predictor(adapter).logits(TEXTS)
        for name, tensor in adapter.tensors.items():
            if name.endswith(".r"):
                self.assertGreater(tensor.abs().max(), 0.1)  # large: an adapter that does nothing would pass
                tensor.zero_()
        self.assertFalse(torch.allclose(loraxs.Predictor(adapter).logits(TEXTS), before, rtol=1e-2))
        adapter.save(self.folder / "zeroed.safetensors")
        self.assertTrue(torch.equal(self.model.open(self.folder / "zeroed.safetensors").row, adapter.row))
        self.assertFalse(torch.equal(self.model.open(self.paths[0]).row, adapter.row))

    def test_a_tensor_outlives_its_adapter(self) -> None:
        row = self.model.open(self.paths[0]).row
        _ = [torch.zeros(row.numel()) for _ in range(8)]
        self.assertTrue(torch.equal(row, load_file(self.paths[0])["row"]))

    def test_folder_as_a_bank(self) -> None:
        bank = loraxs.open_bank(self.model, self.folder / "whole/seed-0")
        self.assertEqual(bank.names, ["best", "last"])
        self.assertRegex(repr(bank), r"^Bank\(2 adapters, lora_xs, rank 4, \d+ sites\)$")
        self.assertEqual(repr(self.model), f"Model({self.folder / 'model'}, bert)")
        self.assertRegex(
            repr(self.model.open(self.paths[0])), rf"^Adapter\({self.paths[0]}, lora_xs, rank 4, \d+ sites\)$"
        )
        bank = loraxs.open_bank(self.model, self.paths)
        self.assertEqual(bank.values.shape[0], len(bank))
        for index, path in enumerate(self.paths):
            self.assertTrue(torch.equal(bank.values[index], load_file(path)["row"]))
            for name, tensor in self.model.open(path).tensors.items():
                self.assertTrue(torch.equal(bank.tensors[name][index], tensor), name)
        bank.tensors["layers.1.value.r"][1] = 7
        self.assertEqual((bank.values[1] == 7).sum(), 16)
        (self.folder / "empty").mkdir()
        for wrong, part in (("empty", "adapter files"), ("absent", "a folder of adapters"), ("model", "format")):
            with self.assertRaisesRegex(loraxs.Error, part):
                loraxs.open_bank(self.model, self.folder / wrong)

    def test_basis_gives_the_merged_weight(self) -> None:
        adapter = self.model.open(self.paths[0])
        check = loraxs.merge(adapter, self.folder / "merged")
        self.assertLess(check.difference, 1e-4)
        self.assertGreater(check.effect, 100 * check.difference)
        basis = loraxs.Basis(adapter.basis.path)
        self.assertEqual(basis.basis_id, adapter.basis_id)
        a, b = basis.tensors["layers.0.query"]
        rank = adapter.ranks["layers.0.query"]
        r = adapter.tensors["layers.0.query.r"]
        torch.testing.assert_close(b.T @ b, torch.eye(b.shape[1]), atol=1e-5, rtol=0)
        update = adapter.alpha / rank * b[:, :rank] @ r @ a[:rank]
        name = next(n for n in load_file(self.folder / "merged/model.safetensors") if n.endswith("layer.0.attention.self.query.weight"))  # fmt: skip
        base, merged = (load_file(self.folder / f"{folder}/model.safetensors") for folder in ("model", "merged"))
        stored = next(n for n in base if name.endswith(n) or n.endswith(name))
        torch.testing.assert_close(merged[name], base[stored] + update, atol=1e-5, rtol=1e-5)
        self.assertFalse(torch.allclose(merged[name], base[stored], rtol=1e-3))

    def test_combine_is_arithmetic(self) -> None:
        out = self.folder / "sum.safetensors"
        combined = loraxs.combine(f"0.7*{self.paths[0]} + 0.3*{self.paths[1]}", self.model, out)
        first, second = (load_file(path)["row"].double() for path in self.paths)
        torch.testing.assert_close(combined.row, (0.7 * first + 0.3 * second).float(), atol=1e-6, rtol=1e-6)

    def test_a_store_gives_back_what_was_put(self) -> None:
        url = f"lmdb://{self.folder / 'py.store'}"
        for name, path in zip("ab", self.paths, strict=False):
            self.assertEqual(loraxs.store_put(f"{url}#anna/{name}", path), 1)
        self.assertEqual(loraxs.store_list(f"{url}#anna/"), [f"{url}#anna/a", f"{url}#anna/b"])
        rows = [self.model.open(name).row for name in (f"{url}#anna/a", self.paths[0], f"{url}#anna/b")]
        self.assertTrue(torch.equal(rows[0], rows[1]))
        self.assertFalse(torch.equal(rows[0], rows[2]))
        bank = loraxs.open_bank(self.model, loraxs.store_list(url))
        self.assertTrue(torch.equal(bank.values[1], rows[2]))
        out = loraxs.store_get(f"{url}#anna/a", self.folder / "py.safetensors")
        self.assertEqual(out.read_bytes(), Path(self.paths[0]).read_bytes())
        with self.assertRaisesRegex(loraxs.Error, "found none of that name"):
            self.model.open(f"{url}#anna/c")

    def test_export(self) -> None:
        adapter = self.model.open(self.paths[0])
        adapter.export("peft", self.folder / "peft")
        self.assertTrue((self.folder / "peft/adapter_config.json").exists())
        for arguments, part in (
            (("peft", self.folder / "peft"), "expected nothing"),
            (("gguf", "x"), "family that GGUF files hold"),
            (("onnx", "x"), "peft, gguf, reference or loraxs"),
        ):
            with self.assertRaisesRegex(loraxs.Error, part):
                adapter.export(*arguments)
        with self.assertRaisesRegex(loraxs.Error, "absent.safetensors"):
            self.model.open(self.folder / "absent.safetensors")


class PredictionTest(PythonTest):
    def test_logits_are_those_of_transformers_on_the_merged_model(self) -> None:
        """One process, one libtorch, and the same logits."""
        adapter = self.model.open(self.paths[0])
        loraxs.merge(adapter, self.folder / "merged_model")
        theirs = AutoModelForSequenceClassification.from_pretrained(self.folder / "merged_model").eval()
        tokenizer = BertTokenizer(str(self.folder / "model/vocab.txt"))
        ours = loraxs.Predictor(adapter, precision="float32").logits(TEXTS)
        with torch.no_grad():
            for text, logits in zip(TEXTS, ours, strict=True):
                torch.testing.assert_close(theirs(**tokenizer(text, return_tensors="pt")).logits[0], logits, atol=1e-4, rtol=1e-4)  # fmt: skip

    def test_labels_are_the_programs(self) -> None:
        found = loraxs.predict(self.model.open(self.paths[0]), [*TEXTS, ("hello", "kq")])
        texts = self.folder / "texts.txt"
        texts.write_text("\n".join([*TEXTS, "hello\tkq"]) + "\n")
        command = [PROGRAM, "predict", "--model", str(self.folder / "model"), "--adapter", str(self.paths[0]), "--cache", str(self.cache), "--json"]  # fmt: skip
        lines = [json.loads(line) for line in run([*command, "--input", str(texts)]).stdout.splitlines()]
        self.assertEqual([one.label for one in found], [line["label"] for line in lines])
        self.assertEqual([one.scores for one in found], [line["scores"] for line in lines])
        self.assertEqual(found[0].score, max(found[0].scores.values()))
        for wrong in ("one string", [1], [("a", "b", "c")]):
            with self.assertRaisesRegex(loraxs.Error, "texts"):
                loraxs.predict(self.model.open(self.paths[0]), wrong)

    def test_a_text_that_fails_is_alone(self) -> None:
        """A token whose embedding is not a number."""
        vocabulary = (self.folder / "model/vocab.txt").read_text().split()
        broken = break_token(self.folder / "model", self.folder / "broken", vocabulary.index("##z"))
        texts = ["abc", "hello xyz", "kq hello", "xyz", "abc abc kq"]
        expected = loraxs.predict(self.model.open(self.paths[0]), texts)
        found = loraxs.predict(loraxs.Model(broken, self.cache).open(self.paths[0], accept_base=True), texts)
        for text, one, wanted in zip(texts, found, expected, strict=True):
            if "z" in text:
                self.assertRegex(one.error, "expected finite outputs, found NaN or infinity")
                self.assertEqual((one.label, one.scores), ("", {}))
            else:
                self.assertEqual(one, wanted)
        path = self.folder / "some.txt"
        path.write_text("\n".join(texts) + "\n")
        command = [PROGRAM, "predict", "--model", str(broken), "--accept-base", "--adapter", str(self.paths[0])]
        command += ["--cache", str(self.cache), "--input", str(path)]
        done = run([*command, "--json"])
        self.assertEqual(done.returncode, 2)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line.get("label", "") for line in lines], [one.label for one in found])
        self.assertEqual([line.get("error", "") for line in lines], [one.error for one in found])
        self.assertEqual([n for n in (2, 4) if f"some.txt: text {n}: expected finite" in done.stderr], [2, 4])
        self.assertEqual([bool(line) for line in run(command).stdout.splitlines()], [not one.error for one in found])


class OtherAdapterTest(PythonTest):
    def test_a_predictor_takes_another_adapter_of_its_base(self) -> None:
        first, second = (self.model.open(path) for path in self.paths)
        predictor = loraxs.Predictor(first, precision="float32")
        before = predictor.logits(TEXTS)
        predictor.use(second)
        self.assertTrue(torch.equal(predictor.logits(TEXTS), loraxs.Predictor(second, precision="float32").logits(TEXTS)))  # fmt: skip
        self.assertFalse(torch.equal(predictor.logits(TEXTS), before))
        predictor.use(first)
        self.assertTrue(torch.equal(predictor.logits(TEXTS), before))
        wider = self.train_wider()
        with self.assertRaisesRegex(loraxs.Error, "expected an adapter of the predictor's base and basis|rank"):
            predictor.use(wider)
        self.assertTrue(torch.equal(predictor.logits(TEXTS), before))  # as it was

    def train_wider(self) -> loraxs.Adapter:
        recipe = self.recipe("wider") | {"method": {"rank": 8}}
        return self.model.open(loraxs.train(recipe, cache=self.cache).jobs[0].adapter)


class ThreadsTest(PythonTest):
    """Eight threads on the same objects get what one gets."""

    CALLS = 500

    def test_predictors_of_two_models(self) -> None:
        second = loraxs.Model(self.folder / "model", cache=self.cache)
        adapters = [self.model.open(self.paths[0]), second.open(self.paths[1])]
        predictors = [loraxs.Predictor(adapter, precision="float32") for adapter in adapters]
        words = ["abc", "xyz", "hello", "kq"]

        def texts_of(call: int) -> list[str]:
            return [
                " ".join(words[(call + i * k) % 4] for k in range(1 + (call * 7 + i) % 9)) for i in range(1 + call % 5)
            ]

        def answer(call: int) -> tuple:
            predictor = predictors[call % 2]
            if call % 4 < 2:
                return predictor.logits(texts_of(call)).tolist()
            return predictor.predict(texts_of(call))

        expected = [answer(call) for call in range(self.CALLS)]
        self.assertGreater(len({str(one) for one in expected}), self.CALLS // 4)
        with ThreadPoolExecutor(8) as pool:
            self.assertEqual(list(pool.map(answer, range(self.CALLS))), expected)

    def test_models_and_adapters(self) -> None:
        """Calls that read the base, fill the cache and call back into Python."""
        adapter, lines = self.model.open(self.paths[0]), []
        row = adapter.row.clone()

        def work(call: int) -> bool:
            folder = self.folder / f"thread-{call}"
            cache = self.folder / f"thread-cache-{call % 3}"  # some threads share a cold one
            if call % 4 == 0:
                model = loraxs.Model(self.folder / "model", cache=cache, log=lines.append)
                return torch.equal(model.open(self.paths[0]).row, row)
            if call % 4 == 1:
                return len(loraxs.open_bank(self.model, self.paths)) == 2
            if call % 4 == 2:
                adapter.export("peft", folder)
                return (folder / "adapter_config.json").exists()
            return loraxs.merge(adapter, folder).difference < 1e-4

        with ThreadPoolExecutor(8) as pool:
            self.assertTrue(all(pool.map(work, range(48))))
        self.assertTrue(lines)


class ModuleTest(PythonTest):
    def test_either_order_of_import_has_one_libtorch(self) -> None:
        script = (
            "import {}, {}, re, torch\n"
            "model = loraxs.Model({!r}, cache={!r})\n"
            "found = loraxs.predict(model.open({!r}), ['abc xyz'])\n"
            "libraries = set(re.findall(r'\\S+/libtorch_cpu\\S*', open('/proc/self/maps').read()))\n"
            "assert len(libraries) == 1, libraries\n"
            "(torch.ones(3, requires_grad=True) * 2).sum().backward()\n"
            "print(found[0].label, found[0].score)\n"
        )
        places = (str(self.folder / "model"), str(self.cache), str(self.paths[0]))
        outputs = []
        for order in (("transformers", "loraxs"), ("loraxs", "transformers")):
            done = subprocess.run([sys.executable, "-c", script.format(*order, *places)], capture_output=True, text=True, check=False)  # fmt: skip
            self.assertEqual(done.returncode, 0, done.stderr)
            outputs.append(done.stdout)
        self.assertEqual(outputs[0], outputs[1])

    def test_types_and_documentation(self) -> None:
        package = Path(loraxs.__file__).parent
        self.assertTrue((package / "py.typed").exists())
        stub = ast.parse((package / "_native.pyi").read_text())
        typed = {node.name: node for node in stub.body if isinstance(node, ast.ClassDef)}
        for name in ("Adapter", "Bank", "Basis", "Model"):
            members = {node.name for node in typed[name].body if isinstance(node, ast.FunctionDef)} - {"__init__"}
            real = {
                member for member in vars(getattr(loraxs, name)) if not member.startswith("__") or member == "__len__"
            }
            self.assertEqual(members, real, name)
            for member in real:
                if not member.startswith("_"):
                    self.assertTrue(getattr(vars(getattr(loraxs, name))[member], "__doc__", None), f"{name}.{member}")
        for name in loraxs.__all__:
            self.assertTrue(getattr(loraxs, name).__doc__, name)


del PythonTest  # the shared part is no case of its own


class GeneratorTest(unittest.TestCase):
    """A decoder's texts are the program's, with an adapter for each prompt."""

    prompts = ("def main(", "Größe 漢字", "a")

    @classmethod
    def setUpClass(cls) -> None:
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = ORACLES / "generation"
        cls.adapters = [cls.folder / f"adapter-{i}.safetensors" for i in range(2)]
        cls.generator = loraxs.Generator(cls.folder, precision="float32", cache=cls.scratch.name)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.scratch.cleanup()

    def by_program(self, *more: str) -> str:
        words = model_command(PROGRAM, "generate", self.folder, self.scratch.name, "-n", "12", "--json", *more)
        return json.loads(run(words).stdout)["text"]

    def generate(self, prompts: list, adapter: object = None, **more) -> list[loraxs.Generation]:
        return self.generator.generate(prompts, adapter, max_new_tokens=12, **more)

    def test_texts_are_the_programs_in_any_company(self) -> None:
        prompts, adapters = self.prompts * 3, [a for a in (*self.adapters, None) for _ in self.prompts]
        found = self.generate(prompts, adapters)
        for prompt, adapter, one in zip(prompts, adapters, found, strict=True):
            more = ["--adapter", str(adapter)] if adapter else []
            self.assertEqual(one.text, self.by_program("--prompt", prompt, *more))
            self.assertEqual(self.generate([prompt], adapter)[0], one)
        texts = [one.text for one in found]
        self.assertTrue(all(len({*texts[i::3]}) == 3 for i in range(3)), texts)  # control: each adapter says its own
        self.assertEqual(
            (self.generator.precision, found[0].error, found[0].answers[0].text), ("float32", "", texts[0])
        )

    def test_conversations_draws_pieces_and_logprobs(self) -> None:
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}]
        whole = self.generate([messages, "a"])
        self.assertEqual(whole[0].text, self.by_program("--chat", "--system", "Be brief.", "--prompt", "Who?"))
        pieces: dict[tuple[int, int], str] = {}

        def on_text(prompt: int, answer: int, piece: str) -> None:
            pieces[prompt, answer] = pieces.get((prompt, answer), "") + piece

        drawn = self.generate(["a", "b"], temperature=1.0, n=2, seed=5, logprobs=1, on_text=on_text)
        self.assertEqual(drawn[0].text, self.by_program("--prompt", "a", "--temperature", "1", "--seed", "5"))
        self.assertNotEqual(drawn[0].answers[0].text, drawn[0].answers[1].text)
        self.assertEqual(pieces, {(i, k): drawn[i].answers[k].text for i in range(2) for k in range(2)})
        token = drawn[0].logprobs[0]
        self.assertLessEqual(token.logprob, token.top[0].logprob)
        beams = self.generate(["a"], num_beams=3, n=2)[0]
        self.assertGreaterEqual(beams.answers[0].score, beams.answers[1].score)

    def test_what_is_wrong_is_said_and_leaves_the_generator_whole(self) -> None:
        expected = self.generate(["a"])
        lost = self.folder / "lost.safetensors"
        for call in (lambda: self.generator.generate("a"), lambda: self.generate(["a"], [None, None]), lambda: self.generate(["a"], lost),
                     lambda: self.generate(["a"], top_p=2.0), lambda: self.generate(["a"], n=2), lambda: self.generate(["a"], batch=0), lambda: loraxs.Generator(self.folder, context=-1), lambda: loraxs.Generator(self.folder, precision="int7"),
                     lambda: loraxs.Generator("models/minilm")):  # fmt: skip
            self.assertRaises(loraxs.Error, call)
        mixed = self.generate(["a", "a", ""], [lost, None, None])
        self.assertEqual([one.finish_reason for one in mixed], ["error", expected[0].finish_reason, "error"])
        self.assertIn("lost.safetensors", mixed[0].error)
        self.assertEqual(mixed[1], expected[0])

        def broken(prompt: int, answer: int, piece: str) -> None:
            raise KeyError(piece)

        self.assertRaises(KeyError, lambda: self.generate(["a", "b"], on_text=broken))
        self.assertEqual(self.generate(["a"]), expected)
        with ThreadPoolExecutor(8) as pool:
            texts = list(pool.map(lambda i: self.generate(["a"], self.adapters[i % 2])[0].text, range(16)))
        self.assertEqual(texts, [self.generate(["a"], self.adapters[i % 2])[0].text for i in range(16)])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
