"""`loraxs generate` and `loraxs chat` as a user meets them. Arguments: PROGRAM, the folder that make_generation.py wrote."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from support.broken_model import break_token
from support.model_command import model_command
from support.progress import without_progress
from transformers import AutoModelForCausalLM, AutoTokenizer

PROGRAM, MODEL = sys.argv[1], Path(sys.argv[2])
PROMPTS = ["def main(", "import torch\nfrom", "Größe 漢字 🦜", "a", "  two  blanks", "x = y + 1 # why"]


def run(command: str, *more: str, model: Path | None = None) -> subprocess.CompletedProcess:
    words = model_command(PROGRAM, command, model or MODEL, CACHE.name, *more)
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)


def lines_of(*more: str) -> list[dict]:
    result = run("generate", "--json", *more)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def prompt_file(rows: list[dict]) -> str:
    path = Path(CACHE.name) / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


class GenerateTest(unittest.TestCase):
    def test_text_is_that_of_transformers(self) -> None:
        tokenizer, model = AutoTokenizer.from_pretrained(MODEL), AutoModelForCausalLM.from_pretrained(MODEL).float()
        rows = lines_of("--input", prompt_file([{"prompt": p} for p in PROMPTS]), "-n", "20", "--ignore-eos")
        self.assertEqual([row["prompt"] for row in rows], PROMPTS)
        for row in rows:
            inputs = tokenizer(row["prompt"], return_tensors="pt")
            ids = model.generate(**inputs, max_new_tokens=20, do_sample=False, pad_token_id=0)
            new = ids[0, inputs["input_ids"].shape[1] :]
            self.assertEqual(row["text"], tokenizer.decode(new, skip_special_tokens=True))
            self.assertEqual((row["tokens"], row["finish_reason"]), (20, "length"))

    def test_chat_applies_the_template(self) -> None:
        tokenizer, model = AutoTokenizer.from_pretrained(MODEL), AutoModelForCausalLM.from_pretrained(MODEL).float()
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}]
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        ids = model.generate(**inputs, max_new_tokens=12, do_sample=False, pad_token_id=0)
        expected = tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        found = lines_of("--chat", "--system", "Be brief.", "--prompt", "Who?", "-n", "12", "--ignore-eos")
        self.assertEqual(found[0]["text"], expected)

    def test_lines_may_be_conversations_and_keep_their_keys(self) -> None:
        system, user = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}
        lines = [
            {"id": 7, "messages": [system, user]},
            {"system": "Be brief.", "instruction": "Who?", "tags": ["a", {"b": 1}]},
            {"conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Me."}]},
            {"prompt": [user], "system_prompt": "Be brief.", "score": 0.5},
        ]  # fmt: skip
        draw = ("-n", "12", "--ignore-eos")
        expected = lines_of("--chat", "--system", "Be brief.", "--prompt", "Who?", *draw)[0]
        found = lines_of("--input", prompt_file(lines), *draw)
        for line, row in zip(lines, found, strict=True):
            self.assertEqual(row["text"], expected["text"])
            self.assertEqual({key: row[key] for key in line}, line)
        # --system is for lines without a system turn of their own; a text under prompt is raw without --chat.
        rows = lines_of("--input", prompt_file([{"messages": [user]}, lines[0], {"prompt": "Who?", "id": "x"}]), "--system", "Be brief.", *draw)  # fmt: skip
        self.assertEqual([row["text"] for row in rows[:2]], [expected["text"]] * 2)
        self.assertEqual((rows[2]["id"], rows[2]["prompt"]), ("x", "Who?"))
        self.assertNotEqual(rows[2]["text"], expected["text"])
        plain = run("generate", "--input", prompt_file(lines[:2]), *draw)
        self.assertEqual(plain.stdout, f"> Who?\n{expected['text']}\n\n" * 2)
        for line, named in (({"prompt": "a", "temperature": 1}, "temperature"), ({"prompt": "a", "system": "b"}, "system"), ({"prompt": "a", "text": "b"}, "text"),
                            ({"messages": [user], "images": ["x.png"]}, "images"), ({"prompt": "a", "adaptor": "x"}, "adapter"),
                            ({"messages": [user], "tools": [{"name": "f"}]}, "tools"), ({"question": "a", "query": "b"}, "query")):  # fmt: skip
            done = run("generate", "--input", prompt_file([line]), *draw)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(named, done.stderr)

    def test_small_integers(self) -> None:
        """Near float32 without being it, and the same in any company; the rates are told."""

        def answers(precision: str, *more: str) -> tuple[list[list[float]], str]:
            words = [PROGRAM, "generate", "--model", str(MODEL), "--cache", CACHE.name, "--precision", precision]
            words += ["-n", "4", "--ignore-eos", "--logprobs", "0", "--json", *more]
            done = subprocess.run(
                words, check=True, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
            )
            rows = [json.loads(line) for line in done.stdout.splitlines()]
            return [[token["logprob"] for token in row["logprobs"]] for row in rows], done.stderr

        rows = prompt_file([{"prompt": p} for p in PROMPTS])
        (exact, _), (rounded, told) = (answers(precision, "--input", rows) for precision in ("float32", "int8"))
        self.assertLess(max(abs(x[0] - y[0]) for x, y in zip(exact, rounded, strict=True)), 0.5)
        self.assertNotEqual(exact, rounded)
        self.assertEqual(answers("int8", "--prompt", PROMPTS[0])[0], rounded[:1])
        self.assertRegex(told, r"precision=int8 prompt_tokens=\d+ prompt_tokens_per_second=[\d.]+ answer_tokens")
        self.assertNotIn("tokens_per_second", answers("int8", "--prompt", "a", "--quiet")[1])

    def test_adapters_in_one_batch_answer_as_each_alone(self) -> None:
        adapters = [str(MODEL / f"adapter-{i}.safetensors") for i in range(2)] + [None]
        rows = [{"prompt": p} | ({"adapter": a} if a else {}) for p in PROMPTS for a in adapters]
        draw = ("-n", "12", "--temperature", "0.8", "--top-p", "0.9", "--seed", "3")
        together = lines_of("--input", prompt_file(rows), *draw)
        for row, found in list(zip(rows, together, strict=True))[:4]:
            more = ("--adapter", row["adapter"]) if "adapter" in row else ()
            self.assertEqual(lines_of("--prompt", row["prompt"], *draw, *more)[0]["text"], found["text"])
        texts = [row["text"] for row in together]
        self.assertGreater(len({tuple(texts[i : i + 3]) for i in range(0, 18, 3)}), 3)
        self.assertTrue(all(texts[i] != texts[i + 2] for i in range(0, 18, 3)), "adapters changed nothing")
        self.assertNotEqual(texts, [row["text"] for row in lines_of("--input", prompt_file(rows), *draw[:-1], "4")])

    def test_a_residual_base_answers_no_line_without_its_adapter(self) -> None:
        """PiSSA takes a part off the weights: what stands beside it would read a base that is none."""
        folder = Path(CACHE.name)
        (folder / "some.txt").write_text("\n\n".join(PROMPTS[:2] * 4))
        recipe = {
            "model": str(MODEL),
            "head": "none",
            "method": {"name": "pissa", "rank": 2, "targets": "all-linear"},
            "task": {"name": "text", "train": str(folder / "some.txt")},
            "train": {"epochs": 1, "max_steps": 2, "batch_size": 2, "learning_rate": [1e-2], "max_length": 32},
            "output": str(folder / "pissa"),
        }
        (folder / "pissa.json").write_text(json.dumps(recipe))
        trained = subprocess.run([PROGRAM, "train", str(folder / "pissa.json"), "-q", "--cache", CACHE.name], check=False, capture_output=True, text=True)  # fmt: skip
        self.assertEqual(trained.returncode, 0, trained.stderr)
        adapter = next(str(path) for path in (folder / "pissa").rglob("*.safetensors") if path.name == "last.safetensors")  # fmt: skip
        rows = [{"prompt": PROMPTS[0], "adapter": adapter}, {"prompt": PROMPTS[0]}]
        for order in (rows, rows[::-1]):
            done = run("generate", "--json", "--input", prompt_file(order), "-n", "8")
            self.assertEqual(done.returncode, 2)
            found = {row.get("adapter"): row for row in map(json.loads, done.stdout.splitlines())}
            self.assertIn("take a part off the base's weights", found[None]["error"])
            self.assertEqual(found[adapter]["text"], lines_of("--prompt", PROMPTS[0], "-n", "8", "--adapter", adapter)[0]["text"])  # fmt: skip
        words = [PROGRAM, "chat", "--model", str(MODEL), "--cache", CACHE.name, "--precision", "int8", "-n", "4"]
        done = subprocess.run(words, input=f"/adapter {adapter}\nHi\n", capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)  # refused, and the base answers on
        self.assertIn("found precision int8", done.stderr)
        self.assertTrue(done.stdout.strip())

    def test_a_sum_of_adapters_is_one_adapter(self) -> None:
        """By --adapter and by line, alone and beside its parts; the control: the parts say other things."""
        parts = [str(MODEL / f"adapter-{i}.safetensors") for i in range(2)]
        expression, written = f"0.5*{parts[0]} + 0.5*{parts[1]}", str(Path(CACHE.name) / "sum.safetensors")
        combined = [PROGRAM, "combine", expression, "--model", str(MODEL), "--out", written, "--cache", CACHE.name]
        subprocess.run(combined, check=True, capture_output=True)
        rows = [{"prompt": p, "adapter": a} for p in PROMPTS[:3] for a in (expression, written, *parts)]
        texts = [row["text"] for row in lines_of("--input", prompt_file(rows), "-n", "12")]
        for k, prompt in enumerate(PROMPTS[:3]):
            by_line, from_file, *others = texts[4 * k : 4 * k + 4]
            self.assertEqual(by_line, from_file)
            alone = lines_of("--prompt", prompt, "-n", "12", "--adapter", expression)[0]
            self.assertEqual((alone["text"], alone["adapter"]), (by_line, expression))
            self.assertTrue(all(other != by_line for other in others), "the sum is one of its parts")
        for name, part in (
            (f"0.5*{parts[0]} + 0.5*no-such-file", "no-such-file"),
            (f"0.5*{parts[0]} 0.5*{parts[1]}", "expected + or -"),
        ):
            done = run("generate", "--prompt", "a", "--adapter", name)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(part, done.stderr)

    def test_turns_of_a_chat_stand_apart_from_their_answers(self) -> None:
        path = prompt_file([{"prompt": p} for p in ("Who?", "a\nb")])
        rows = lines_of("--chat", "--input", path, "-n", "8")
        shown = run("generate", "--chat", "--input", path, "-n", "8").stdout
        self.assertEqual(shown, "".join(f"> {row['prompt']}\n{row['text']}\n\n" for row in rows))

    def test_beams_are_those_of_transformers(self) -> None:
        tokenizer, model = AutoTokenizer.from_pretrained(MODEL), AutoModelForCausalLM.from_pretrained(MODEL).float()
        rows = lines_of(
            "--input", prompt_file([{"prompt": p} for p in PROMPTS]), "-n", "16", "--beams", "4", "--n", "2"
        )
        for row in rows:
            inputs = tokenizer(row["prompt"], return_tensors="pt")
            found = model.generate(
                **inputs,
                max_new_tokens=16,
                do_sample=False,
                num_beams=4,
                num_return_sequences=2,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=0,
                return_dict_in_generate=True,
                output_scores=True,
            )
            self.assertEqual([answer["text"] for answer in row["answers"]][:1], [row["text"]])
            for answer, ids, score in zip(row["answers"], found.sequences, found.sequences_scores, strict=True):
                new = ids[inputs["input_ids"].shape[1] :].tolist()
                new = new[: new.index(tokenizer.eos_token_id)] if tokenizer.eos_token_id in new else new
                self.assertEqual(answer["text"], tokenizer.decode(new, skip_special_tokens=True))
                self.assertAlmostEqual(answer["score"], score.item(), delta=1e-4)
        stop = rows[0]["text"][5:7]
        cut = lines_of("--prompt", PROMPTS[0], "-n", "16", "--beams", "4", "--stop", stop)[0]
        self.assertNotIn(stop, cut["text"])

    def test_draws_do_not_depend_on_their_number_or_company(self) -> None:
        draw = ("-n", "12", "--temperature", "0.9", "--seed", "5")
        three = lines_of("--input", prompt_file([{"prompt": p} for p in PROMPTS]), *draw, "--n", "3")
        self.assertTrue(all(len({answer["text"] for answer in row["answers"]}) > 1 for row in three))
        five = lines_of("--prompt", PROMPTS[2], *draw, "--n", "5")[0]
        self.assertEqual(five["answers"][:3], three[2]["answers"])
        self.assertEqual(lines_of("--prompt", PROMPTS[2], *draw)[0]["text"], five["answers"][0]["text"])
        text = run("generate", "--prompt", PROMPTS[2], *draw, "--n", "3").stdout
        self.assertEqual(text, "".join(answer["text"] + "\n" for answer in five["answers"][:3]))

    def test_stop_strings_and_logprobs(self) -> None:
        whole = lines_of("--prompt", PROMPTS[0], "-n", "30", "--ignore-eos", "--logprobs", "2")[0]
        self.assertEqual(len(whole["logprobs"]), 30)
        for entry in whole["logprobs"]:
            self.assertEqual(entry["id"], entry["top"][0]["id"])  # greedy
            self.assertLessEqual(entry["top"][1]["logprob"], entry["logprob"])
        stop = whole["text"][10:13]
        cut = lines_of("--prompt", PROMPTS[0], "-n", "30", "--ignore-eos", "--stop", stop, "--stop", "never said")[0]
        self.assertEqual((cut["text"], cut["finish_reason"]), (whole["text"][: whole["text"].index(stop)], "stop"))
        self.assertLess(cut["tokens"], 30)

    def test_mistakes_are_told_in_one_sentence(self) -> None:
        for words, part in (
            (["--prompt", ""], "expected a prompt of at least one token"),
            (["--prompt", "a", "--temperature", "-1"], "temperature: expected a number ≥ 0"),
            (["--prompt", "a", "--temperature", "1", "--top-p", "0"], "top-p: expected a number above 0 and at most 1"),
            (["--prompt", "a", "--top-k", "5"], "temperature 0 draws nothing"),
            (["--prompt", "a", "-n", "0"], "--max-new-tokens: expected a whole number from 1 to 16777216, found 0"),
            (["--prompt", "a", "--stop", ""], "--stop: expected a text"),
            (["--prompt", "a b c d e f g h i j k l m n o p q", "-c", "8"], "expected a prompt of at most 7 tokens"),
            (["--prompt", "a", "-c", "100000"], "expected a context of at most 512 tokens"),
            (["--prompt", "a", "--input", "b.jsonl"], "expected --prompt or --input, found both"),
            ([], "expected --prompt or --input, found neither"),
            (["--input", "no-such-file"], "no-such-file: cannot open"),
            (["--input", prompt_file([{"prompt": "a"}, {"promt": "b"}])], "prompts.jsonl:2"),
            (["--input", "/dev/null"], "/dev/null: expected a file, found a device"),
            (["--prompt", "a", "--basis", "no.safetensors"], "expected an adapter that --basis is for, found none"),
            (["--prompt", "a", "--adapter", "no-such-adapter"], "no-such-adapter"),
            (["--prompt", "a", "--beams", "2", "--temperature", "1"], "beams: expected temperature 0"),
            (["--prompt", "a", "--beams", "2", "--n", "3"], "n: expected from 1 to 2 answers of 2 beams, found 3"),
            (["--prompt", "a", "--n", "3"], "n: expected 1 answer at temperature 0"),
            (
                ["--prompt", "a", "--beams", "2", "--logprobs", "0"],
                "neither penalties, biases nor log-probabilities",
            ),
            (["--prompt", "a", "--length-penalty", "2"], "belong to beam search"),
            (["--prompt", "a", "--beams", "0"], "--beams: expected a whole number from 1 to 1000000, found 0"),
            (["--prompt", "a", "--beams", "1000000"], "beams: expected at most"),
            (["--prompt", "a", "--system", "b"], "--system: expected --chat beside it"),
            (["--prompt", os.fsdecode(b"a\xff")], "--prompt: expected UTF-8, found \\xff behind 1 bytes"),
        ):
            result = run("generate", *words)
            self.assertEqual((result.returncode, result.stdout), (2, ""), words)
            self.assertEqual(len(without_progress(result.stderr)), 1, result.stderr)
            self.assertIn(part, result.stderr)
        empty = run("generate", "--input", prompt_file([]))
        self.assertEqual(empty.returncode, 2)
        self.assertIn("prompts.jsonl: expected a prompt a line, found none", empty.stderr)


class FailureTest(unittest.TestCase):
    """What one prompt of a batch meets is that prompt's result."""

    @classmethod
    def setUpClass(cls) -> None:
        """A token of PROMPTS[1] that nobody else reads or writes computes no numbers."""
        cls.tokenizer = AutoTokenizer.from_pretrained(MODEL)
        chat = cls.tokenizer.apply_chat_template([{"role": "user", "content": "a"}] * 2, add_generation_prompt=True, tokenize=False)  # fmt: skip
        rows = lines_of("--input", prompt_file([{"prompt": p} for p in PROMPTS]), "-n", "20", "--logprobs", "0")
        elsewhere = {entry["id"] for row in rows for entry in row["logprobs"]}
        others = [chat, *(prompt for k, prompt in enumerate(PROMPTS) if k != 1)]
        elsewhere |= {i for text in others for i in cls.tokenizer(text).input_ids}
        token = next(i for i in cls.tokenizer("import torch").input_ids if i not in elsewhere)
        cls.broken = break_token(MODEL, Path(CACHE.name) / "broken", token)

    def compare(self, rows: list[dict], failing: set[int], *more: str, model: Path, sentences: list[str]) -> None:
        """Rows that do not fail give what they give alone; the others say why."""
        healthy = [row for k, row in enumerate(rows) if k not in failing]
        expected = iter(lines_of("--input", prompt_file(healthy), *more))
        done = run("generate", "--json", "--input", prompt_file(rows), *more, model=model)
        self.assertEqual(done.returncode, 2)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([row["prompt"] for row in found], [row["prompt"] for row in rows])
        told = without_progress(done.stderr)
        self.assertEqual(len(told), len(failing), done.stderr)
        for k, row in enumerate(found):
            if k not in failing:
                alone = next(expected)
                for key in ("text", "tokens", "finish_reason"):
                    self.assertEqual(row[key], alone[key], f"{key} of row {k}")
                continue
            self.assertEqual(row["finish_reason"], "error")
            self.assertIn(f"loraxs: {row['error']}", told)
            self.assertLessEqual(len(row["error"]), 500)
        for sentence in sentences:
            self.assertIn(sentence, done.stderr)

    def test_numbers_that_are_none(self) -> None:
        rows = [{"prompt": p} for p in PROMPTS]
        sentence = ["prompts.jsonl:2: token 1 of the answer: expected finite logits, found NaN for token 0"]
        for more in (
            ("--ignore-eos", "--logprobs", "1"),
            ("--temperature", "0.8", "--top-p", "0.9", "--repetition-penalty", "1.2", "--seed", "3"),
            ("--temperature", "0.8", "--top-k", "7", "--n", "3"),
            ("--beams", "3", "--n", "2"),
            ("--beams", "2", "--stop", "e"),
            ("--batch", "2"),
        ):
            with self.subTest(more):
                # What is drawn may meet the broken token too, the sooner the longer it is.
                length = "4" if "--temperature" in more else "20"
                self.compare(rows, {1}, "-n", length, *more, model=self.broken, sentences=sentence)

    def test_text_of_the_others(self) -> None:
        """Without --json a failed prompt has no text."""
        path = prompt_file([{"prompt": p} for p in PROMPTS[:3]])
        done = run("generate", "--input", path, "-n", "6", model=self.broken)
        alone = [p + run("generate", "--input", prompt_file([{"prompt": p}]), "-n", "6").stdout for p in PROMPTS[:3:2]]
        self.assertEqual((done.returncode, done.stdout), (2, "".join(alone)))
        self.assertEqual(len(without_progress(done.stderr)), 1, done.stderr)

    def test_an_answer_that_breaks_later(self) -> None:
        """The token is the second of an answer: the third has no logits, and the text before stays."""
        whole = lines_of("--prompt", "a", "-n", "8", "--ignore-eos", "--logprobs", "0")[0]
        ids = [entry["id"] for entry in whole["logprobs"]]
        place = next(k for k in range(1, 8) if ids[k] not in ids[:k] and ids[k] not in self.tokenizer("a").input_ids)
        broken = break_token(MODEL, Path(CACHE.name) / "later", ids[place])
        done = run("generate", "--json", "--prompt", "a", "-n", "8", "--ignore-eos", model=broken)
        row = json.loads(done.stdout)
        self.assertEqual((done.returncode, row["finish_reason"], row["tokens"]), (2, "error", place + 1))
        self.assertEqual(row["error"].split(": expected")[0], f"--prompt: token {place + 2} of the answer")
        self.assertEqual(row["text"], self.tokenizer.decode(ids[: place + 1], skip_special_tokens=True))

    def test_prompts_and_adapters(self) -> None:
        adapter, damaged = str(MODEL / "adapter-0.safetensors"), Path(CACHE.name) / "damaged.safetensors"
        damaged.write_bytes(Path(adapter).read_bytes()[:-8])
        rows = [
            {"prompt": PROMPTS[0], "adapter": adapter},
            {"prompt": ""},
            {"prompt": PROMPTS[1], "adapter": "no-such.safetensors"},
            {"prompt": "long " * 600},
            {"prompt": PROMPTS[2]},
            {"prompt": PROMPTS[0], "adapter": str(damaged)},
            {"prompt": PROMPTS[3], "adapter": adapter},
        ]
        sentences = [
            "prompts.jsonl:2: expected a prompt of at least one token",
            "prompts.jsonl:3: no-such.safetensors",
            "prompts.jsonl:4: expected a prompt of at most 511 tokens",
            f"prompts.jsonl:6: {damaged}",
        ]
        for more in ((), ("--beams", "2")):
            with self.subTest(more):
                self.compare(rows, {1, 2, 3, 5}, "-n", "9", *more, model=MODEL, sentences=sentences)

    def test_templates(self) -> None:
        model = Path(CACHE.name) / "template"
        shutil.copytree(MODEL, model)
        path = next(path for path in (model / "chat_template.jinja", model / "tokenizer_config.json") if path.exists())
        template = "{% for message in messages %}{% if 'Größe' in message['content'] %}{{ raise_exception('no sizes') }}{% endif %}{{ message['content'] }}{% endfor %}"  # fmt: skip
        if path.suffix == ".json":
            template = json.dumps(json.loads(path.read_text()) | {"chat_template": template})
        path.write_text(template)
        path = prompt_file([{"prompt": p} for p in PROMPTS[:3]])
        done = run("generate", "--json", "--chat", "--input", path, "-n", "5", model=model)
        self.assertEqual(done.returncode, 2, done.stderr)
        reasons = [json.loads(line)["finish_reason"] for line in done.stdout.splitlines()]
        self.assertEqual(reasons[2], "error")
        self.assertNotIn("error", reasons[:2])
        self.assertRegex(without_progress(done.stderr)[0], "^loraxs: .*prompts.jsonl:3: .*no sizes")

    def test_a_chat_goes_on(self) -> None:
        words = model_command(PROGRAM, "chat", self.broken, CACHE.name, "-q", "-n", "5")
        saved = Path(CACHE.name) / "goes-on.json"
        lines = os.fsdecode(b"a\xff\n") + f"a\n{PROMPTS[1].splitlines()[0]}\na\n/save {saved}\n"
        done = subprocess.run(words, input=os.fsencode(lines), capture_output=True, check=False, timeout=300)
        said = done.stderr.decode()
        self.assertEqual(done.returncode, 2, said)
        self.assertRegex(said, r"^loraxs: this line: expected UTF-8, found \\xff behind 1 bytes\n")
        self.assertRegex(said, "loraxs: chat: token 1 of the answer: expected finite logits")
        turns = [turn["content"] for turn in json.loads(saved.read_text())["messages"] if turn["role"] == "user"]
        self.assertEqual(turns, ["a", "a"])

    def test_a_chat_with_json_says_what_generate_says(self) -> None:
        first = PROMPTS[0].strip()
        words = model_command(PROGRAM, "chat", MODEL, CACHE.name, "--json", "-n", "9", "--temperature", "0")
        done = subprocess.run(words, input=f"/help\n{first}\n", capture_output=True, text=True, check=False, timeout=300)  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(lines, lines_of("--chat", "--prompt", first, "-n", "9"))
        words = model_command(PROGRAM, "chat", self.broken, CACHE.name, "--json", "-q", "-n", "5")
        breaks = PROMPTS[1].splitlines()[0]
        done = subprocess.run(words, input=f"{breaks}\n", capture_output=True, text=True, check=False, timeout=300)
        failed = json.loads(done.stdout)
        self.assertEqual((failed["prompt"], failed["finish_reason"]), (breaks, "error"))
        self.assertEqual(done.stderr, f"loraxs: {failed['error']}\n")


class InterruptTest(unittest.TestCase):
    def test_ctrl_c_ends_with_130_and_keeps_what_was_printed(self) -> None:
        words = model_command(
            PROGRAM, "generate", MODEL, CACHE.name, "-q", "--json", "--batch", "1", "-n", "400", "--ignore-eos"
        )
        words += ["--input", prompt_file([{"prompt": p} for p in PROMPTS * 100])]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            self.assertEqual(json.loads(process.stdout.readline())["tokens"], 400)
            process.send_signal(signal.SIGINT)
            self.assertEqual((process.wait(), process.stderr.read()), (130, ""))

    def test_a_closed_pipe_ends_it(self) -> None:
        words = model_command(PROGRAM, "generate", MODEL, CACHE.name, "-q", "--batch", "1", "-n", "40")
        words += ["--input", prompt_file([{"prompt": p} for p in PROMPTS * 100])]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            self.assertTrue(process.stdout.readline())
            process.stdout.close()
            self.assertEqual((process.wait(), process.stderr.read()), (-signal.SIGPIPE, ""))


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, *more: str) -> None:
        words = model_command(PROGRAM, "chat", MODEL, CACHE.name, *more)
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.execv(PROGRAM, words)
        self.seen = ""

    def wait_for(self, text: str, seconds: float = 120) -> str:
        """What appeared up to and with `text`; it is taken off."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            if time.monotonic() > end:
                raise AssertionError(f"no {text!r} in {self.seen!r}")
            if select.select([self.file], [], [], 0.5)[0]:
                self.seen += os.read(self.file, 65536).decode(errors="replace")
        before, self.seen = self.seen.split(text, 1)
        return before + text

    def say(self, line: str) -> None:
        os.write(self.file, (line + "\n").encode())

    def leave(self, word: str = "/quit") -> int:
        self.say(word)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class ChatTest(unittest.TestCase):
    def test_a_conversation(self) -> None:
        chat = Terminal("-n", "12")
        chat.wait_for("> ")
        chat.say("/help")
        self.assertIn("Ctrl-C stops an answer", chat.wait_for("> "))
        chat.say("/system Be brief.")
        self.assertIn("system turn: Be brief.", chat.wait_for("\n> "))
        chat.say("Who?")
        self.assertRegex(chat.wait_for("tokens_per_second="), r"tokens=\d+ seconds=")
        chat.wait_for("> ")
        saved = Path(CACHE.name) / "saved.json"
        chat.say(f"/adapter 0.5*{MODEL}/adapter-0.safetensors + 0.5*{MODEL}/adapter-1.safetensors")
        self.assertRegex(chat.wait_for("\n> "), r"adapter: 0\.5\*.* \(lora_xs, rank \d+, \d+ sites\)")
        chat.say("And now?")
        chat.wait_for("tokens_per_second=")
        chat.wait_for("> ")
        chat.say(f"/save {saved}")
        chat.wait_for("> ")
        messages = json.loads(saved.read_text())["messages"]
        self.assertEqual([m["role"] for m in messages], ["system", "user", "assistant", "user", "assistant"])
        self.assertEqual(messages[3]["content"], "And now?")
        for mistake, told in (("/adaptor x", "/adaptor: unknown command"), ("/adapter nothing-there", "nothing-there"), ("/save", "expected a file name")):  # fmt: skip
            chat.say(mistake)
            self.assertIn(told, chat.wait_for("\n> "))
        chat.say("/reset")
        chat.wait_for("> ")
        time.sleep(0.5)  # the prompt stands before the program waits at it
        os.kill(chat.pid, signal.SIGINT)  # at the prompt: the program stays
        chat.wait_for("/quit or Ctrl-D leaves")
        self.assertEqual(chat.leave("/exit"), 0)

    def test_ctrl_c_stops_the_answer_and_a_full_context_drops_the_oldest(self) -> None:
        chat = Terminal("-n", "400", "-c", "500", "--temperature", "1.5")
        for turn in range(3):
            chat.wait_for("> ")
            chat.say(f"question {turn} " + "word " * 20)
            if turn == 0:
                chat.wait_for("word \r\n")  # the terminal's echo
                while not chat.seen:  # the answer has begun
                    chat.seen += os.read(chat.file, 65536).decode(errors="replace")
                os.write(chat.file, b"\x03")
            chat.wait_for("tokens=")
            tokens = int(chat.wait_for(" ").strip())
            if turn == 0:
                self.assertLess(tokens, 400)
        chat.wait_for("> ")
        chat.say("long " * 400)
        self.assertIn("expected a turn of at most", chat.wait_for("> "))
        self.assertEqual(chat.leave(), 0)

    def test_an_empty_piped_conversation_ends_well(self) -> None:
        result = run("chat")
        self.assertEqual((result.returncode, result.stdout), (0, ""))


if __name__ == "__main__":
    CACHE = tempfile.TemporaryDirectory()
    try:
        unittest.main(argv=sys.argv[:1], verbosity=2)
    finally:
        CACHE.cleanup()
