"""`loraxs generate` and `loraxs chat` as a user meets them. Arguments: PROGRAM, the folder that make_generation.py wrote."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer

PROGRAM, MODEL = sys.argv[1], Path(sys.argv[2])
PROMPTS = ["def main(", "import torch\nfrom", "Größe 漢字 🦜", "a", "  two  blanks", "x = y + 1 # why"]


def run(command: str, *more: str) -> subprocess.CompletedProcess:
    words = [PROGRAM, command, "--model", str(MODEL), "--precision", "float32", "-t", "1", "--cache", CACHE.name, *more]
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
            (["--prompt", "a", "-n", "0"], "--max-new-tokens: expected at least 1"),
            (["--prompt", "a", "--stop", ""], "--stop: expected a text"),
            (["--prompt", "a b c d e f g h i j k l m n o p q", "-c", "8"], "expected a prompt of at most 7 tokens"),
            (["--prompt", "a", "-c", "100000"], "expected a context of at most 512 tokens"),
            (["--prompt", "a", "--input", "b.jsonl"], "expected --prompt or --input, found both"),
            ([], "expected --prompt or --input, found neither"),
            (["--input", "no-such-file"], "no-such-file: cannot open"),
            (["--input", prompt_file([{"prompt": "a"}, {"promt": "b"}])], "prompts.jsonl:2"),
            (["--prompt", "a", "--adapter", "no-such-adapter"], "no-such-adapter"),
            (["--prompt", "a", "--beams", "2", "--temperature", "1"], "beams: expected temperature 0"),
            (["--prompt", "a", "--beams", "2", "--n", "3"], "n: expected from 1 to 2 answers of 2 beams, found 3"),
            (["--prompt", "a", "--n", "3"], "n: expected 1 answer at temperature 0"),
            (
                ["--prompt", "a", "--beams", "2", "--logprobs", "0"],
                "neither a repetition penalty nor log-probabilities",
            ),
            (["--prompt", "a", "--length-penalty", "2"], "belong to beam search"),
            (["--prompt", "a", "--beams", "0"], "--beams"),
        ):
            result = run("generate", *words)
            self.assertEqual((result.returncode, result.stdout), (2, ""), words)
            self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
            self.assertIn(part, result.stderr)


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, *more: str) -> None:
        words = [
            PROGRAM,
            "chat",
            "--model",
            str(MODEL),
            "--precision",
            "float32",
            "-t",
            "1",
            "--cache",
            CACHE.name,
            *more,
        ]
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

    def leave(self) -> int:
        self.say("/quit")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class ChatTest(unittest.TestCase):
    def test_a_conversation(self) -> None:
        chat = Terminal("-n", "12")
        chat.wait_for("> ")
        chat.say("/help")
        self.assertIn("Ctrl-C stops an answer", chat.wait_for("> "))
        chat.say("/system Be brief.")
        chat.wait_for("> ")
        chat.say("Who?")
        self.assertRegex(chat.wait_for("tokens_per_second="), r"tokens=\d+ seconds=")
        chat.wait_for("> ")
        saved = Path(CACHE.name) / "saved.json"
        chat.say(f"/adapter 0.5*{MODEL}/adapter-0.safetensors + 0.5*{MODEL}/adapter-1.safetensors")
        chat.wait_for("> ")
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
        os.kill(chat.pid, signal.SIGINT)  # at the prompt: the program stays
        chat.wait_for("/quit or Ctrl-D leaves")
        self.assertEqual(chat.leave(), 0)

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
