"""Adapters of PEFT with every kind of config: what PEFT computes, or refused by name. Arguments: PROGRAM ORACLES."""

import json
import os
import sys
import tempfile
import unittest
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from support.tiny_run import TinyRunTest, run
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers import logging as transformers_logging

transformers_logging.disable_progress_bar()
PROGRAM, ORACLES = sys.argv[1], Path(sys.argv[2])
MODEL = ORACLES / "generation"
PROMPT = "The old boat"

COMPUTED = {
    "plain": {},
    "alpha_first_of_two": {"alpha_pattern": {"layers.1.self_attn.v_proj": 40, "v_proj": 2}},
    "alpha_shorter_first": {"alpha_pattern": {"v_proj": 40, "layers.1.self_attn.v_proj": 2}},
    "alpha_expression": {"alpha_pattern": {r".*layers\.(0|2)\..*": 32, r"self_attn\.[qk]_proj": 1}},
    "alpha_no_part_of_a_name": {"alpha_pattern": {"_proj": 100, "attn.q_proj": 100, r"layers.0.self_attn": 100}},
    "rank_expression": {"rank_pattern": {r"model\.layers\.0\.self_attn\.q_proj": 2, "v_proj": 6}, "use_rslora": True},
    "rank_and_alpha": {"rank_pattern": {"q_proj": 3}, "alpha_pattern": {r"[qv]_proj": 24}},
    "some_layers": {"layers_to_transform": [1], "layers_pattern": "layers"},
    "one_layer": {"layers_to_transform": 0},
    "excluded": {"exclude_modules": ["layers.0.self_attn.q_proj"]},
    "excluded_by_expression": {"exclude_modules": r".*layers\.1\..*v_proj"},
    "targets_by_expression": {"target_modules": r"model\.layers\.\d+\.(mlp\.(up|down)_proj|self_attn\.k_proj)"},
    "all_linear": {"target_modules": "all-linear"},
    "pissa": {"init_lora_weights": "pissa"},
    "pissa_rslora": {"init_lora_weights": "pissa", "use_rslora": True, "target_modules": ["o_proj", "gate_proj"]},
    "pissa_patterns": {"init_lora_weights": "pissa", "rank_pattern": {"v_proj": 2}, "alpha_pattern": {"q_proj": 24}},
    "olora": {"init_lora_weights": "olora"},
    "olora_wide": {"init_lora_weights": "olora", "target_modules": ["up_proj", "down_proj"]},
    "gaussian": {"init_lora_weights": "gaussian", "lora_dropout": 0.3, "fan_in_fan_out": False},
    "orthogonal": {"init_lora_weights": "orthogonal"},
}  # fmt: skip
# Changes of adapter_config.json, and what the error names.
REFUSED = {
    "use_dora": {"use_dora": True},
    "lora_bias": {"lora_bias": True},
    "init_lora_weights": {"init_lora_weights": "pissa_niter_4"},
    "path_initial_model_for_weight_conversion": {"init_lora_weights": "corda"},
    "loftq": {"init_lora_weights": "loftq"},
    "lora_ga": {"init_lora_weights": "lora_ga"},
    "TOKEN_CLS": {"task_type": "TOKEN_CLS"},
    "SEQ_2_SEQ_LM": {"task_type": "SEQ_2_SEQ_LM"},
    "QUESTION_ANS": {"task_type": "QUESTION_ANS"},
    "lm_head": {"modules_to_save": ["lm_head"]},
    "embed_tokens": {"modules_to_save": ["embed_tokens"]},
    "trainable_token_indices": {"trainable_token_indices": [1, 2]},
    "layer_replication": {"layer_replication": [[0, 2], [1, 2]]},
    "alora_invocation_tokens": {"alora_invocation_tokens": [3]},
    "kasa_config": {"kasa_config": {"beta": 1}},
    "target_parameters": {"target_parameters": ["experts.w"]},
    "use_rslora": {"use_rslora": "yes"},
    "rank_pattern": {"rank_pattern": {"q_proj": 0}},
    "alpha_pattern": {"alpha_pattern": {"q_(proj": 2}},
    "of rank 4 instead of 5": {"rank_pattern": {"q_proj": 5}},
    "v_proj": {"target_modules": ["q_proj"]},  # a module that PEFT would leave out
    "layers.1.self_attn.q_proj": {"layers_to_transform": [0]},
    "beyond float32": {"lora_alpha": 1e300},
    "infinite": {"alpha_pattern": {"layers.0.self_attn.q_proj": 1e-30, "v_proj": 1e30}},
    "some_new_key": {"some_new_key": {"a": 1}},
    "peft_type": {"peft_type": "LOHA"},
}


class PeftTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.scratch.name)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.scratch.cleanup()

    @staticmethod
    def base() -> AutoModelForCausalLM:
        return AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)

    def save(self, name: str, **config: object) -> Path:
        """An adapter whose factors are far from their start."""
        torch.manual_seed(len(name))
        settings = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", **config}
        model = get_peft_model(self.base(), LoraConfig(**settings))
        for parameter_name, parameter in model.named_parameters():
            if "lora_" in parameter_name and parameter.requires_grad:
                parameter.data += 0.1 * torch.randn_like(parameter)
        model.save_pretrained(self.folder / name)
        return self.folder / name

    def imported(self, source: Path) -> tuple[Path, object]:
        out = self.folder / f"{source.name}.safetensors"
        command = [PROGRAM, "import", "--model", str(MODEL), "--from", str(source), "--out", str(out), "--cache", str(self.folder / "cache")]  # fmt: skip
        return out, run(command)

    def generated(self, adapter: Path | None) -> list[dict]:
        command = [PROGRAM, "generate", "--model", str(MODEL), "--prompt", PROMPT, "-n", "4", "--logprobs", "0", "--json", "--ignore-eos",
                   "--precision", "float32", "-q", "-t", "1", "--cache", str(self.folder / "cache")]  # fmt: skip
        done = run(command + ([] if adapter is None else ["--adapter", str(adapter)]))
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["logprobs"]

    def distance(self, found: list[dict], model: torch.nn.Module) -> float:
        prompt = AutoTokenizer.from_pretrained(MODEL)(PROMPT).input_ids
        ids = torch.tensor([prompt + [token["id"] for token in found]])
        with torch.no_grad():
            expected = model.eval()(ids).logits[0].log_softmax(-1)
        return max(abs(expected[len(prompt) - 1 + i, token["id"]].item() - token["logprob"]) for i, token in enumerate(found))  # fmt: skip

    def test_what_peft_computes(self) -> None:
        without = self.generated(None)
        for name, config in COMPUTED.items():
            with self.subTest(name):
                source = self.save(name, **config)
                adapter, done = self.imported(source)
                self.assertEqual(done.returncode, 0, done.stderr)
                model = PeftModel.from_pretrained(self.base(), source)
                self.assertLess(self.distance(self.generated(adapter), model), 1e-4)
                self.assertGreater(self.distance(without, model), 1e-2)  # control: the adapter matters

    def test_what_is_refused_by_name(self) -> None:
        source = self.save("refused")
        written = json.loads((source / "adapter_config.json").read_text())
        for name, change in REFUSED.items():
            with self.subTest(name):
                (source / "adapter_config.json").write_text(json.dumps(written | change))
                adapter, done = self.imported(source)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(name, done.stderr)
                self.assertFalse(adapter.exists())
        (source / "adapter_config.json").write_text(json.dumps(written | {"some_new_key": None}))  # says nothing
        self.assertEqual(self.imported(source)[1].returncode, 0)

    def test_layers_without_a_site_say_what_to_do(self) -> None:
        for name, config in {"saved_head": {"modules_to_save": ["lm_head"]}, "lora_on_head": {"target_modules": ["q_proj", "lm_head"]},
                             "lora_on_embeddings": {"target_modules": ["q_proj", "embed_tokens"]}}.items():  # fmt: skip
            with self.subTest(name):
                _, done = self.imported(self.save(name, **config))
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("merge_and_unload()", done.stderr)


class LabelsTest(TinyRunTest):
    """Names of classes through export, import and merge; a merged folder is a classifier by itself."""

    oracles = ORACLES

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.trained(PROGRAM, "run")
        cls.adapter = str(cls.folder / "run/seed-0/best.safetensors")

    def command(self, name: str, *more: str) -> list[str]:
        return [PROGRAM, name, "--model", str(self.folder / "model"), "--cache", str(self.folder / "cache"), *more]

    def labels(self, *more: str) -> list[dict]:
        (self.folder / "texts.txt").write_text("abc xyz\nhello kq\nxyz\n")
        done = run([PROGRAM, "predict", "--cache", str(self.folder / "cache"), "--input", str(self.folder / "texts.txt"), "--json", "--precision", "float32", *more])  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_names_of_classes_travel(self) -> None:
        expected = self.labels("--model", str(self.folder / "model"), "--adapter", self.adapter)
        self.assertEqual(set(expected[0]["scores"]), {"no", "yes"})
        for form, inside in (("peft", "."), ("reference", "ft")):
            out, again = self.folder / form, self.folder / f"{form}.safetensors"
            done = run(self.command("export", "--adapter", self.adapter, "--format", form, "--out", str(out)))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(
                json.loads((out / inside / "config.json").read_text())["id2label"], {"0": "no", "1": "yes"}
            )
            done = run(self.command("import", "--from", str(out / inside), "--out", str(again)))
            self.assertEqual(done.returncode, 0, done.stderr)
            found = self.labels("--model", str(self.folder / "model"), "--adapter", str(again))
            for one, other in zip(found, expected, strict=True):
                self.assertEqual(one["label"], other["label"])
                self.assertAlmostEqual(one["scores"]["yes"], other["scores"]["yes"], places=5)

    def test_a_merged_classifier_needs_no_adapter(self) -> None:
        merged = self.folder / "merged"
        self.assertEqual(run(self.command("merge", "--adapter", self.adapter, "--out", str(merged))).returncode, 0)
        expected = self.labels("--model", str(self.folder / "model"), "--adapter", self.adapter)
        for one, other in zip(self.labels("--model", str(merged)), expected, strict=True):
            self.assertEqual(one["label"], other["label"])
            self.assertAlmostEqual(one["scores"]["yes"], other["scores"]["yes"], places=4)
        config = json.loads((merged / "config.json").read_text())
        for change, named in (({"architectures": ["BertForTokenClassification"]}, "BertForTokenClassification"),
                              ({"problem_type": "multi_label_classification"}, "problem_type"),
                              ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "id2label")):  # fmt: skip
            (merged / "config.json").write_text(json.dumps(config | change))
            command = [PROGRAM, "predict", "--model", str(merged), "--cache", str(self.folder / "cache"), "--input", str(self.folder / "texts.txt")]  # fmt: skip
            self.refused(command, named)
        command = [PROGRAM, "predict", "--model", "models/minilm", "--cache", str(self.folder / "cache"), "--input", str(self.folder / "texts.txt")]  # fmt: skip
        self.refused(command, "--adapter")

    def test_classifiers_of_others(self) -> None:
        letters = "abcdefghijklmnopqrstuvwxyz"
        for name in ("tiny_roberta", "tiny_distilbert"):
            with self.subTest(name):
                torch.manual_seed(1)
                config = AutoConfig.from_pretrained(ORACLES / name)
                config.id2label, config.label2id = {0: "cat", 1: "dog", 2: "owl"}, {"cat": 0, "dog": 1, "owl": 2}
                model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32).eval()
                for parameter in model.parameters():
                    parameter.data += 0.2 * torch.randn_like(parameter)
                model.save_pretrained(self.folder / name)
                vocabulary = (self.folder / "model/vocab.txt").read_bytes()
                (self.folder / name / "vocab.txt").write_bytes(vocabulary)
                texts = ("abc xyz", "hello kq", "xyz")
                for line, text in zip(self.labels("--model", str(self.folder / name)), texts, strict=True):
                    pieces = [
                        letters.index(c) + (31 if i > 0 else 5) for word in text.split() for i, c in enumerate(word)
                    ]
                    with torch.no_grad():
                        scores = model(torch.tensor([[2, *pieces, 3]])).logits.softmax(-1)[0]  # [CLS] … [SEP]
                    self.assertEqual(list(line["scores"]), ["cat", "dog", "owl"])
                    for label, score in zip(("cat", "dog", "owl"), scores, strict=True):
                        self.assertAlmostEqual(line["scores"][label], score.item(), places=4)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
