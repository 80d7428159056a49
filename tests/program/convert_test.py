"""`loraxs convert` between folders and GGUF files, against transformers, the gguf package and llama.cpp. Argument: PROGRAM."""

import json
import shutil
import struct
import sys
import tempfile
import unittest
from pathlib import Path

import gguf
import numpy as np
import torch
from oracles import make_tokenizers
from oracles.check_llama_cpp import NEW_TOKENS, LlamaCpp, agrees
from oracles.make_decoders import random_decoder
from support.progress import without_progress
from support.tiny_run import run
from tokenizers import Tokenizer
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

PROGRAM = sys.argv[1]
SMOLLM2 = next(Path("models/smollm2").glob("*.gguf"))
TEXTS = [
    "The quick brown fox's 1234 don't",
    "  two blanks\n\n\ttab",
    "naïve café 日本語 🙂",
    "def f(x):\n    return x**2",
    "a",
    " a",
]
TEMPLATE = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 8192}  # fmt: skip
FAMILIES = {  # a config, its own settings, the tokenizer of make_tokenizers.py, how it begins and ends texts
    "llama": (LlamaConfig, {"rope_parameters": LLAMA3_ROPE}, "llama3", ("<|begin_of_text|>", "<|end_of_text|>")),
    "mistral": (MistralConfig, {"sliding_window": None}, "llama2_legacy", ("<s>", "</s>")),
    "qwen2": (Qwen2Config, {"tie_word_embeddings": True, "head_dim": 16}, "qwen2", (None, "<|im_end|>")),
    "qwen3": (Qwen3Config, {}, "qwen2", (None, "<|im_end|>")),
    "gemma": (GemmaConfig, {"tie_word_embeddings": True}, "gemma", ("<bos>", "<eos>")),
}


def logits_of(model, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].float()


def change(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def says(answer: list[tuple[bytes, float]], ours: str, strips: bool) -> bool:
    """Equal texts up to the first byte that is no UTF-8: of a run of byte tokens that is none, llama.cpp shows the
    letters in it, tokenizers and we none. `strips`: the tokenizer's decoder leaves out a text's first blank, llama.cpp
    shows it."""
    if strips and answer:
        answer = [(answer[0][0].removeprefix(b" "), answer[0][1]), *answer[1:]]
    whole, broken, _ = ours.partition("\ufffd")
    theirs = b"".join(piece for piece, _ in answer).decode("utf-8", "replace")
    return theirs.startswith(whole) if broken and whole else agrees(ours, answer)


class ConvertTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        torch.set_num_threads(1)
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.scratch.name)
        corpus = Path("LICENSE").read_text().splitlines()  # a text that stays: vocabularies follow from it
        for number, (name, (family, settings, tokenizer, ends)) in enumerate(FAMILIES.items()):
            out = cls.folder / name
            out.mkdir()
            made: Tokenizer = getattr(make_tokenizers, tokenizer)(
                [*corpus, *TEXTS], cls.folder / "tokenizers" / tokenizer
            )
            words = len(made.get_vocab()) + 5  # a model may have more ids than its tokenizer
            config = family(**{"vocab_size": words, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
                               "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 512, "rms_norm_eps": 1e-3,
                               "bos_token_id": made.token_to_id(ends[0] or ""), "eos_token_id": made.token_to_id(ends[1]), **settings})  # fmt: skip
            model = random_decoder(config, number)
            unsaid = [token["id"] for token in json.loads(made.to_str())["added_tokens"]] + list(
                range(words - 5, words)
            )
            with (
                torch.no_grad()
            ):  # no answer has these: texts leave them out, and llama.cpp never takes an end that is ignored
                model.get_output_embeddings().weight[unsaid] = 0
            model.save_pretrained(out)
            fast = PreTrainedTokenizerFast(tokenizer_object=made, bos_token=ends[0], eos_token=ends[1], chat_template=TEMPLATE)  # fmt: skip
            fast.save_pretrained(out)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.scratch.cleanup()

    def convert(self, model: Path, out: Path, *more: str) -> dict:
        done = run([PROGRAM, "convert", "--model", str(model), "--out", str(out), "--cache", str(self.folder / "cache"), "--json", *more])  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def refused(self, model: Path, out: Path, *parts: str, more: tuple[str, ...] = ()) -> None:
        done = run([PROGRAM, "convert", "--model", str(model), "--out", str(out), "--cache", str(self.folder / "cache"), *more])  # fmt: skip
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(len(without_progress(done.stderr)), 1, done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)

    def generated(self, model: Path, *more: str, tokens: int = 12) -> list[str]:
        prompts = self.folder / "prompts.jsonl"
        prompts.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in TEXTS))
        done = run([PROGRAM, "generate", "--model", str(model), "--input", str(prompts), "-n", str(tokens), "--ignore-eos", "--precision", "float32",
                    "--json", "--cache", str(self.folder / "cache"), *more])  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line)["text"] for line in done.stdout.splitlines()]

    def test_every_family_there_and_back(self) -> None:
        for name, (_, settings, _, ends) in FAMILIES.items():
            with self.subTest(name):
                folder, file, back = self.folder / name, self.folder / f"{name}.gguf", self.folder / f"{name}-back"
                there = self.convert(folder, file)
                self.assertTrue(there["same_numbers"])
                self.assertLess(there["logits_difference"], 1e-6)
                again = self.convert(file, back)
                self.assertTrue(again["same_numbers"])
                self.assertNotEqual(there["base_id"], there["from_base_id"])
                model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
                other, read = AutoModelForCausalLM.from_pretrained(back), AutoTokenizer.from_pretrained(back)
                ids = tokenizer(TEXTS[0])["input_ids"]
                self.assertEqual(change(logits_of(other, ids), logits_of(model, ids)) < 1e-6, True)
                for text in (*TEXTS, f"a {ends[1]} b"):
                    self.assertEqual(read(text)["input_ids"], tokenizer(text)["input_ids"], text)
                turns = [{"role": "user", "content": "hi"}]
                self.assertEqual(
                    read.apply_chat_template(turns, tokenize=False),
                    tokenizer.apply_chat_template(turns, tokenize=False),
                )
                self.assertEqual(read.eos_token, ends[1])
                kept = {
                    key: value
                    for key, value in json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"].items()
                }
                found = json.loads((back / "tokenizer.json").read_text())["model"]
                self.assertLessEqual(kept.items(), found["vocab"].items())
                merges = lambda model: {tuple(m.split(" ") if isinstance(m, str) else m) for m in model["merges"]}
                self.assertEqual(merges(found), merges(json.loads((folder / "tokenizer.json").read_text())["model"]))
                texts = self.generated(folder)
                self.assertEqual(self.generated(file), texts)
                self.assertEqual(self.generated(back), texts)
                control = change(logits_of(random_decoder(model.config, 99), ids), logits_of(model, ids))
                self.assertGreater(control, 0.1)

    def test_llama_cpp_says_what_we_say(self) -> None:
        for name in FAMILIES:
            with self.subTest(name):
                file = self.folder / f"{name}-cpp.gguf"
                self.convert(self.folder / name, file)
                texts = self.generated(file, tokens=NEW_TOKENS)
                peer = LlamaCpp(file)
                strips = '"Strip"' in (self.folder / name / "tokenizer.json").read_text()
                same = [says(peer.greedy(text), ours, strips) for text, ours in zip(TEXTS, texts, strict=True)]
                self.assertTrue(all(same), (same, texts))
                other = [says(peer.greedy(text + "!"), ours, strips) for text, ours in zip(TEXTS, texts, strict=True)]
                self.assertFalse(any(other), other)  # control
                del peer

    def test_types_are_those_of_the_gguf_package(self) -> None:
        folder = self.folder / "qwen3"
        weight = (
            AutoModelForCausalLM.from_pretrained(folder).state_dict()["model.layers.1.mlp.gate_proj.weight"].numpy()
        )
        for dtype, kind in (("float16", "F16"), ("bfloat16", "BF16"), ("q8_0", "Q8_0"), ("q5_1", "Q5_1"), ("q5_0", "Q5_0"), ("q4_1", "Q4_1"), ("q4_0", "Q4_0")):  # fmt: skip
            with self.subTest(dtype):
                file = self.folder / f"{dtype}.gguf"
                done = self.convert(folder, file, "--dtype", dtype)
                self.assertFalse(done["same_numbers"])
                self.assertGreater(done["logits_difference"], 0)
                tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
                found = tensors["blk.1.ffn_gate.weight"]
                self.assertEqual(found.tensor_type.name, kind)
                expected = gguf.quantize(weight, gguf.GGMLQuantizationType[kind])
                self.assertEqual(bytes(np.ascontiguousarray(found.data)), bytes(expected))
                self.assertEqual(tensors["output_norm.weight"].tensor_type.name, "F32")
                back = self.convert(file, self.folder / f"{dtype}-back")
                self.assertTrue(back["same_numbers"])  # what is quantised becomes float32

    def test_the_real_file(self) -> None:
        """SmolLM2 in Q4_1: transformers reads the folder as it reads the file, its tokenizer too."""
        out = self.folder / "smollm2"
        done = self.convert(SMOLLM2, out)
        self.assertTrue(done["same_numbers"])
        tokenizer = AutoTokenizer.from_pretrained(out)
        ids = tokenizer("The capital of France is Paris. It lies on the river Seine.")["input_ids"]
        expected = AutoModelForCausalLM.from_pretrained(SMOLLM2.parent, gguf_file=SMOLLM2.name, dtype=torch.float32)
        found = AutoModelForCausalLM.from_pretrained(out)
        self.assertLess(change(logits_of(found, ids), logits_of(expected, ids)), 1e-6)
        fields = gguf.GGUFReader(SMOLLM2).fields
        parts = json.loads((out / "tokenizer.json").read_text())["model"]
        tokens = fields["tokenizer.ggml.tokens"].contents()
        self.assertEqual(sorted(parts["vocab"], key=parts["vocab"].get), tokens)
        self.assertEqual([" ".join(merge) for merge in parts["merges"]], fields["tokenizer.ggml.merges"].contents())
        self.assertEqual((out / "chat_template.jinja").read_text(), fields["tokenizer.chat_template"].contents())
        file = self.folder / "smollm2-again.gguf"
        self.convert(out, file, "--dtype", "float16")
        again = gguf.GGUFReader(file).fields
        for key in ("tokens", "merges", "token_type", "bos_token_id", "eos_token_id"):
            self.assertEqual(again[f"tokenizer.ggml.{key}"].contents(), fields[f"tokenizer.ggml.{key}"].contents(), key)

    def test_an_adapter_belongs_to_the_bytes_it_was_trained_on(self) -> None:
        folder, file = self.folder / "llama", self.folder / "bound.gguf"
        self.convert(folder, file)
        data = self.folder / "data.txt"
        data.write_text("\n".join(TEXTS * 8) + "\n")
        recipe = self.folder / "recipe.yaml"
        recipe.write_text(json.dumps({
            "model": str(folder), "method": {"rank": 4, "init_std": 0.3, "targets": "all-linear"}, "task": {"name": "text", "train": str(data)},
            "train": {"max_steps": 1, "max_length": 32}, "output": str(self.folder / "run")}))  # fmt: skip
        done = run([PROGRAM, "train", str(recipe), "--cache", str(self.folder / "cache"), "-q"])
        self.assertEqual(done.returncode, 0, done.stderr)
        adapter = ["--adapter", str(self.folder / "run/seed-0/best.safetensors")]
        own = self.generated(folder, *adapter)
        self.assertNotEqual(own, self.generated(folder))  # control
        refused = run([PROGRAM, "generate", "--model", str(file), *adapter, "--prompt", "a", "--cache", str(self.folder / "cache")])  # fmt: skip
        self.assertEqual(refused.returncode, 2)
        self.assertIn("base_id", refused.stderr)
        self.assertEqual(self.generated(file, *adapter, "--accept-base"), own)
        told = run([PROGRAM, "convert", "--model", str(folder), "--out", str(self.folder / "told.gguf"), "--cache", str(self.folder / "cache")])  # fmt: skip
        self.assertIn("--accept-base", told.stdout)

    def test_every_end_of_a_text_goes_along(self) -> None:
        """Llama 3.1 has three: of the text, of a turn, of a message that calls a tool."""
        model, file, back = self.folder / "ends", self.folder / "ends.gguf", self.folder / "ends-back"
        shutil.copytree(self.folder / "llama", model)
        path = model / "generation_config.json"
        first = json.loads((model / "config.json").read_text())["eos_token_id"]
        path.write_text(json.dumps({"eos_token_id": [first, first + 1, first + 2]}))
        self.convert(model, file)
        fields = gguf.GGUFReader(file).fields
        names = ("eos_token_id", "eot_token_id", "eom_token_id")
        self.assertEqual([fields[f"tokenizer.ggml.{name}"].contents() for name in names], [first, first + 1, first + 2])
        self.convert(file, back)
        ends = json.loads((back / "generation_config.json").read_text())["eos_token_id"]
        self.assertEqual(ends, [first, first + 1, first + 2])
        path.write_text(json.dumps({"eos_token_id": [first, first + 1, first + 2, first + 3]}))
        self.refused(model, self.folder / "four.gguf", "eos_token_id: expected at most 3 tokens")

    def test_an_unknown_setting_of_a_tokenizer_is_refused(self) -> None:
        file, other = self.folder / "plain.gguf", self.folder / "other.gguf"
        self.convert(self.folder / "llama", file)
        data, key, value = file.read_bytes(), b"tokenizer.ggml.normalizer.lowercase", b"123456789"
        added = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(value)) + value
        self.assertEqual(len(added) % 32, 0)  # what follows stays aligned
        fields = struct.unpack("<Q", data[16:24])[0]
        other.write_bytes(data[:16] + struct.pack("<Q", fields + 1) + added + data[24:])
        self.refused(other, self.folder / "refused", key.decode() + ": expected keys that are known", "--accept-config")
        accepted = ("--accept-config", key.decode())
        self.assertEqual(self.generated(other, *accepted), self.generated(file))

    def test_what_the_other_format_cannot_say(self) -> None:
        out = self.folder / "refused.gguf"
        self.refused(Path("models/minilm"), out, "model_type", "llama", "qwen3", "found bert")
        self.refused(self.folder / "llama", self.folder / "refused", "ends in .gguf")
        self.refused(SMOLLM2, out, "expected a folder")
        self.refused(self.folder / "llama", self.folder / "llama/inside.gguf", "--out")
        self.refused(SMOLLM2, self.folder / "refused", "--dtype", more=("--dtype", "q4_0"))
        for change_of, part in (
            ({"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer"),
            ({"normalizer": {"type": "Lowercase"}}, "pre_tokenizer"),
            ({"model": {"type": "WordPiece", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]"}}, "model.type"),
        ):
            with self.subTest(part):
                model = self.folder / "changed"
                shutil.rmtree(model, ignore_errors=True)
                shutil.copytree(self.folder / "qwen2", model)
                path = model / "tokenizer.json"
                path.write_text(json.dumps(json.loads(path.read_text()) | change_of))
                self.refused(model, out, "tokenizer.json", part)
                (model / "tokenizer.json").unlink()
                self.refused(model, out, "tokenizer")
        model = self.folder / "windows"
        shutil.copytree(self.folder / "mistral", model)
        config = json.loads((model / "config.json").read_text()) | {"sliding_window": 64}
        (model / "config.json").write_text(json.dumps(config))
        parts = json.loads((model / "tokenizer.json").read_text())
        parts |= {
            "normalizer": None,
            "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False},
        }
        (model / "tokenizer.json").write_text(json.dumps(parts))
        notes = self.convert(model, self.folder / "windows.gguf")["notes"]
        self.assertIn("blank mark", notes.pop(0))
        self.assertIn("context of 64 tokens", notes[0])
        self.assertFalse(out.exists())
        self.assertFalse((self.folder / "refused").exists())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
