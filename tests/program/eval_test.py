"""`loraxs eval` of language models, beside transformers. Arguments: PROGRAM, the folder that make_generation.py wrote."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import torch
from support.broken_model import break_token
from support.model_command import model_command
from transformers import AutoModelForCausalLM, AutoTokenizer

PROGRAM, MODEL = sys.argv[1], Path(sys.argv[2])
BELOW = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
INDENT = " " * 16
CHOICES = [["true", "false"], ["solution1", "solution2"], ["answer1", "answer2", "answer3"], ["option1", "option2"]]


def commonsense_rows(count: int) -> list[dict]:
    rows = []
    for i in range(count):
        choices = CHOICES[i % len(CHOICES)]
        gold = choices[i // 4 % len(choices)]
        asked = f"Is {i} {'odd' * (i % 3)}?\n\nAnswer format: {'/'.join(choices)}"
        rows.append({"instruction": asked, "input": "", "output": f"the correct answer is {gold}", "answer": gold})
    return rows


def commonsense_prompt(row: dict, blanks: str = " ") -> str:
    instruction = f"{INDENT}### Instruction:\n{INDENT}{row['instruction']}\n\n{INDENT}### Response:\n{INDENT}"
    return f"{BELOW}{blanks}\n\n{instruction}"


def math_rows(count: int) -> list[dict]:
    return [{"question": f"What is {i} + {i}?", "answer": f"It is {2 * i}.\n#### {2 * i}"} for i in range(count)]


def command(*more: str, adapter: bool = True, model: Path | None = None) -> list[str]:
    named = ("--adapter", str(MODEL / "adapter-0.safetensors")) if adapter else ()
    return model_command(PROGRAM, "eval", model or MODEL, FOLDER.name, *named, *more)


def run(*more: str, adapter: bool = True, model: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*more, adapter=adapter, model=model), check=False, capture_output=True, text=True, timeout=300
    )


def result_of(*more: str, adapter: bool = True) -> dict:
    result = run("--json", *more, adapter=adapter)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def path_of(name: str) -> str:
    return str(Path(FOLDER.name) / name)


def write(name: str, rows: list[dict]) -> str:
    Path(path_of(name)).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path_of(name)


def records(path: str) -> list[dict]:
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert "settings" in lines[0]
    return sorted(lines[1:], key=lambda line: line["index"])


class Oracle:
    """The model without adapter by transformers."""

    def __init__(self) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(MODEL)
        self.model = AutoModelForCausalLM.from_pretrained(MODEL).float().eval()
        self.end = self.tokenizer.eos_token_id

    @torch.no_grad()
    def logprobs(self, ids: list[int]) -> torch.Tensor:
        """log p of ids[1:]."""
        scores = self.model(torch.tensor([ids])).logits[0, :-1].double().log_softmax(-1)
        return scores.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]

    def answer_logprobs(self, prompt: str, answer: str, end: bool) -> torch.Tensor:
        alone, ids = self.tokenizer(prompt).input_ids, self.tokenizer(prompt + answer).input_ids
        first = next((i for i, (x, y) in enumerate(zip(alone, ids, strict=False)) if x != y), min(len(alone), len(ids)))
        return self.logprobs(ids + [self.end] * end)[first - 1 :]


class EvalTest(unittest.TestCase):
    def test_choices_weigh_what_transformers_weighs(self) -> None:
        oracle, rows = Oracle(), commonsense_rows(50)
        data, answers = write("choices.jsonl", rows), path_of("choices-answers.jsonl")
        result = result_of("--task", "commonsense", "--data", data, "--by", "choices", "--answers", answers, adapter=False)  # fmt: skip
        by_sum = by_mean = 0
        for row, found in zip(rows, records(answers), strict=True):
            self.assertEqual(found["choices"], row["instruction"].split("Answer format: ")[1].split("/"))
            texts = [row["output"].replace(row["answer"], choice) for choice in found["choices"]]
            scores = [oracle.answer_logprobs(commonsense_prompt(row), text, end=False) for text in texts]
            self.assertEqual(found["tokens"], [len(score) for score in scores])
            for mine, score in zip(found["sums"], scores, strict=True):
                self.assertAlmostEqual(mine, score.sum().item(), delta=1e-4)
            sums = [score.sum().item() for score in scores]
            means = [score.mean().item() for score in scores]
            by_sum += found["choices"][sums.index(max(sums))] == row["answer"]
            by_mean += found["choices"][means.index(max(means))] == row["answer"]
        self.assertEqual(
            (result["by_sum"], result["by_mean"], result["value"]), (by_sum / 50, by_mean / 50, by_sum / 50)
        )
        self.assertEqual(result["examples"], 50)

    def test_loss_is_the_mean_over_targets(self) -> None:
        oracle, rows = Oracle(), math_rows(8)
        result = result_of("--task", "gsm8k", "--data", write("loss.jsonl", rows), "--by", "loss", adapter=False)
        prompts = [f"{BELOW}\n\n### Instruction:\n{row['question']}\n\n### Response:" for row in rows]
        scores = torch.cat([oracle.answer_logprobs(p, row["answer"], end=True) for p, row in zip(prompts, rows, strict=True)])  # fmt: skip
        self.assertAlmostEqual(result["loss"] / -scores.mean().item(), 1, delta=1e-5)
        self.assertAlmostEqual(result["perplexity"], math.exp(result["loss"]), delta=1e-9 * result["perplexity"])
        self.assertEqual((result["metric"], result["value"], result["targets"]), ("loss", result["loss"], len(scores)))

    def test_perplexity_of_plain_text_in_windows(self) -> None:
        oracle, text = Oracle(), Path(__file__).read_text()[:3000]
        Path(path_of("text.txt")).write_text(text)
        ids = [*oracle.tokenizer(text).input_ids, oracle.end]
        for window, stride in ((64, 64), (64, 20)):
            total, count, done = 0.0, 0, 0
            for begin in range(0, len(ids), stride):
                end = min(begin + window, len(ids))
                scores = oracle.logprobs(ids[begin:end])[max(done - begin - 1, 0) :]
                total, count, done = total - scores.sum().item(), count + len(scores), end
                if end == len(ids):
                    break
            words = ("--task", "text", "--data", path_of("text.txt"), "--window", str(window), "--stride", str(stride))
            result = result_of(*words, adapter=False)
            self.assertAlmostEqual(result["perplexity"] / math.exp(total / count), 1, delta=1e-5)
            self.assertEqual((result["targets"], result["window"], result["stride"]), (count, window, stride))

    def test_int8_scores_the_rounded_weights(self) -> None:
        turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "hello abc, it is me"}]
        Path(path_of("text.txt")).write_text(Path(__file__).read_text()[:3000])
        for task, data in (("chat", write("chat.jsonl", [{"messages": turns}])), ("text", path_of("text.txt"))):
            words = command("--task", task, "--data", data, "--json", *(("--window", "64") if task == "text" else ()))
            exact, rounded = (
                json.loads(subprocess.run([precision if word == "float32" else word for word in words],
                                          check=True, capture_output=True, text=True).stdout)
                for precision in ("float32", "int8")
            )  # fmt: skip
            self.assertEqual((exact["precision"], rounded["precision"]), ("float32", "int8"))
            self.assertNotEqual(exact["loss"], rounded["loss"], "int8 changed nothing")
            self.assertAlmostEqual(rounded["loss"] / exact["loss"], 1, delta=0.02)

    def test_answers_are_those_of_generate_and_both_scores_are_counted(self) -> None:
        rows = commonsense_rows(6)
        data, answers = write("beams.jsonl", rows), path_of("beams-answers.jsonl")
        result = result_of("--task", "commonsense", "--data", data, "--answers", answers)
        prompts = write("beams-prompts.jsonl", [{"prompt": commonsense_prompt(row)} for row in rows])
        words = [PROGRAM, "generate", *command("--input", prompts, "--beams", "4", "-n", "32", "--json")[2:]]
        generated = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
        found = records(answers)
        self.assertEqual([record["answer"] for record in found], [json.loads(line)["text"] for line in generated])
        self.assertEqual(result["strict"], sum(record["strict"] for record in found) / 6)
        self.assertEqual(result["compatible"], sum(record["compatible"] for record in found) / 6)
        self.assertEqual((result["metric"], result["value"], result["examples"]), ("accuracy", result["strict"], 6))
        trained = path_of("trained-answers.jsonl")
        result_of("--task", "commonsense", "--data", data, "--answers", trained, "--prompt", "training")
        self.assertEqual(records(trained)[0]["question"], commonsense_prompt(rows[0], blanks="  "))

    def test_a_killed_run_goes_on_where_it_was(self) -> None:
        data = write("killed.jsonl", math_rows(24))
        words = ("--task", "gsm8k", "--data", data, "-n", "24", "--batch", "2", "--json")
        whole, broken = path_of("whole.jsonl"), path_of("broken.jsonl")
        expected = result_of(*words, "--answers", whole)
        process = subprocess.Popen(
            command(*words, "--answers", broken), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 120
        while not os.path.exists(broken) or Path(broken).read_text().count("\n") < 4:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = records_before = Path(broken).read_text()
        self.assertLess(records_before.count("\n"), 25, "it was done before it could be killed")
        self.assertEqual(result_of(*words, "--answers", broken), expected)
        self.assertTrue(Path(broken).read_text().startswith(before[: before.rindex("\n") + 1]), "old answers were lost")
        self.assertEqual(records(broken), records(whole))
        # The next run has nothing to ask; more examples go on in the same file, other settings do not.
        self.assertEqual(result_of(*words, "--answers", broken), expected)
        for more, part in (
            (("--temperature", "0.5"), "temperature: expected 0.0, with which these answers were begun, found 0.5"),
            (("--prompt", "training"), 'prompt: expected "paper"'),
            (("--adapter", str(MODEL / "adapter-1.safetensors")), "adapter: expected"),
        ):
            result = run(*words, "--answers", broken, *more, adapter="--adapter" not in more)
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            self.assertIn(part, result.stderr)
        write("killed.jsonl", math_rows(25)[1:])
        result = run(*words, "--answers", broken)
        self.assertEqual(result.returncode, 2)
        self.assertIn(
            "killed.jsonl:1: expected the question with index 0 of the answers file, found another", result.stderr
        )

    def test_a_question_that_fails_is_alone(self) -> None:
        tokenizer = AutoTokenizer.from_pretrained(MODEL)
        for kind, rows, by in (("gsm8k", math_rows(5), "generation"), ("commonsense", commonsense_rows(5), "choices")):
            with self.subTest(by):
                odd = "@" if by == "generation" else "~"
                key = "question" if by == "generation" else "instruction"
                rows[3][key] = odd + rows[3][key]
                rows[4][key] = "long " * 600 + rows[4][key]
                (token,) = tokenizer(odd, add_special_tokens=False).input_ids
                broken = break_token(MODEL, Path(path_of(f"broken-{by}")), token)
                words = ["--task", kind, "--data", write(f"{by}.jsonl", rows), "--by", by, "--json"]
                words += ["-n", "12"] if by == "generation" else []
                few = [*words, "--answers", path_of(f"{by}-few-answers")]
                few[few.index("--data") + 1] = write(f"{by}-few.jsonl", rows[:3])
                expected = json.loads(run(*few, adapter=False).stdout)
                for again in range(2):  # the second run reads the answers of the first
                    done = run(*words, "--answers", path_of(f"{by}-answers"), adapter=False, model=broken)
                    self.assertEqual(done.returncode, 2, done.stderr)
                    result = json.loads(done.stdout)
                    self.assertEqual((result["examples"], result["failed"]), (5, 2), again)
                    self.assertAlmostEqual(result["value"], expected["value"] * 3 / 5)
                    for line in (4, 5):
                        self.assertRegex(done.stderr, f"loraxs: .*{by}.jsonl:{line}: ")
                found = records(path_of(f"{by}-answers"))
                self.assertEqual(found[:3], records(path_of(f"{by}-few-answers")))
                for record in found[3:]:
                    self.assertEqual(record["finish_reason"], "error")
                    self.assertIn("expected", record["error"])

    def test_a_damaged_line_of_answers_is_told(self) -> None:
        answers = Path(path_of("damaged-answers.jsonl"))
        words = [
            "--task",
            "gsm8k",
            "--data",
            write("damaged.jsonl", math_rows(2)),
            "-n",
            "4",
            "--answers",
            str(answers),
        ]
        self.assertEqual(run(*words).returncode, 0)
        whole = answers.read_text()
        for before, after in (('"strict":', '"struct":'), ('"strict":false', '"strict":"no"'), ('"question":"', '"question":1,"x":"')):  # fmt: skip
            self.assertIn(before, whole)
            answers.write_text(whole.replace(before, after))
            done = run(*words)
            self.assertEqual((done.returncode, done.stdout), (2, ""), before)
            self.assertIn("answers file: the line with index 0: expected question, gold and verdicts", done.stderr)

    def test_sets_by_their_names_and_the_mean_of_all(self) -> None:
        """Each set by its name is what `commonsense` says of it; folders have a test file alone, as distributed."""
        sets = ["boolq", "piqa", "social_i_qa", "hellaswag", "winogrande", "ARC-Easy", "ARC-Challenge", "openbookqa"]
        known = ["boolq", "piqa", "siqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa"]
        rows, folder = commonsense_rows(40), Path(path_of("sets"))
        for k, name in enumerate(sets):
            (folder / name).mkdir(parents=True)
            (folder / name / "test.json").write_text(json.dumps(rows[k : 30 + k : 3]))
        words = ("--data", str(folder), "--by", "choices", "--answers", path_of("sets-answers.jsonl"))
        result = result_of("--task", "commonsense", *words)
        self.assertEqual([one["task"] for one in result["sets"]], known)
        self.assertAlmostEqual(result["value"], sum(one["value"] for one in result["sets"]) / 8)
        self.assertEqual(result["examples"], sum(one["examples"] for one in result["sets"]))
        for name, spelled, one in zip(sets, ["BoolQ", "piqa", "siqa", "hellaswag", "WinoGrande", "arc-e", "ARC_Challenge", "obqa"], result["sets"], strict=True):  # fmt: skip
            alone = result_of("--task", spelled, "--data", str(folder / name), "--by", "choices")
            self.assertEqual(alone, one)
        shown = run("--task", "commonsense", *words).stdout
        self.assertIn(f"| mean of 8 | {result['value']:.6g}", shown)
        # A table of the eight files of answers: the same scores, and their mean.
        answers = [path_of(f"sets-answers.{name}.jsonl") for name in known]
        table = subprocess.run([PROGRAM, "table", "--json", *answers], capture_output=True, text=True, check=True)
        (row,) = (json.loads(line) for line in table.stdout.splitlines())
        found = {(score["task"], score["metric"]): score["value"] for score in row["scores"]}
        self.assertEqual(found[("arc_easy", "by_sum")], result["sets"][5]["by_sum"])
        self.assertAlmostEqual(row["average"], result["value"])
        self.assertEqual(row["method"], "lora_xs")
        shutil.rmtree(folder / "piqa")
        fewer = result_of("--task", "commonsense", "--data", str(folder), "--by", "loss", "--limit", "2")
        self.assertEqual((len(fewer["sets"]), fewer["absent"], fewer["examples"]), (7, ["piqa"], 14))

    def test_training_data_stay_closed(self) -> None:
        folder = Path(path_of("closed"))
        folder.mkdir()
        (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in math_rows(3)))
        expected = result_of("--task", "gsm8k", "--data", str(folder), "--by", "loss")
        (folder / "train.jsonl").write_text("no JSON at all")
        self.assertEqual(result_of("--task", "gsm8k", "--data", str(folder), "--by", "loss"), expected)

    def test_a_limit_counts_windows(self) -> None:
        text = path_of("limited.txt")
        Path(text).write_text(Path(__file__).read_text())
        words = ("--task", "text", "--data", text, "--window", "32", "--limit")
        few, more = result_of(*words, "3"), result_of(*words, "5")
        self.assertEqual((few["examples"], more["examples"]), (3, 5))
        self.assertEqual(few["targets"], 3 * 31)

    def test_long_work_says_how_far_it_is(self) -> None:
        """Nothing is silent for five seconds: lines come while it goes on, with what is left."""
        text = path_of("long.txt")
        Path(text).write_text(Path(__file__).read_text() * 12)
        words = command("--task", "text", "--data", text, "--window", "512", "--stride", "32", adapter=False)
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            begin, seen = time.monotonic(), []
            for line in process.stderr:
                seen.append((time.monotonic() - begin, line))
                if len(seen) == 2:
                    process.terminate()
        gaps = [after - before for (before, _), (after, _) in zip([(0.0, ""), *seen], seen, strict=False)]
        self.assertTrue(seen, "no word")
        self.assertLess(max(gaps), 8, seen)  # every 4 s, on a machine with neighbours
        self.assertRegex(seen[-1][1], r"^(loss=\d+/\d+ +eta=\d+:\d\d|\w+ seconds=\d+)$")

    def test_mistakes_are_told_in_one_sentence(self) -> None:
        data = write("mistakes.jsonl", math_rows(2))
        Path(path_of("short.txt")).write_text("a b c")
        for words, part in (
            (
                ("--task", "gsm8k", "--data", data, "--by", "choices"),
                "expected commonsense, whose questions offer choices",
            ),
            (("--task", "text", "--data", path_of("short.txt"), "--by", "generation"), "expected a task with a grader"),
            (("--task", "gsm8k", "--data", data, "--by", "loss", "--answers", "x"), "loss, which has no answers"),
            (
                ("--task", "gsm8k", "--data", data, "--beams", "4", "--temperature", "1"),
                "beams: expected temperature 0",
            ),
            (
                ("--task", "text", "--data", path_of("short.txt"), "--top-p", "-1"),
                "--top-p: expected --by generation, found loss of text",
            ),
            (
                ("--task", "gsm8k", "--data", data, "--by", "loss", "--temperature", "1"),
                "--temperature: expected --by generation, found loss of gsm8k",
            ),
            (("--task", "gsm8k", "--data", data, "--window", "64"), "--window: expected task text, found gsm8k"),
            (("--task", "gsm8k", "--data", path_of("no.jsonl")), "no.jsonl"),
            (("--task", "gsm8k", "--data", data, "--limit", "-1"), "--limit"),
            (
                ("--task", "text", "--data", path_of("short.txt"), "--window", "600"),
                "expected at most the context of 512",
            ),
            (
                ("--task", "text", "--data", path_of("short.txt"), "--window", "8", "--stride", "9"),
                "stride: expected from 1",
            ),
            (("--task", "qnli", "--data", "no-such-folder"), "--adapter: expected one for qnli"),
            (("--task", "nosuch", "--data", data), "--task: expected one of cola, mnli"),
            (("--task", "comonsense", "--data", data), "did you mean commonsense?"),
            (("--task", "commonsense", "--data", str(MODEL)), "folders of the sets"),
        ):
            result = run(*words, adapter=False)
            self.assertEqual((result.returncode, result.stdout), (2, ""), words)
            self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
            self.assertIn(part, result.stderr)
        rows = write("wrong.jsonl", [{"question": "a", "answer": "no number"}])
        self.assertIn("wrong.jsonl:1: answer: expected", run("--task", "gsm8k", "--data", rows).stderr)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        FOLDER = tempfile.TemporaryDirectory(dir=name)
        unittest.main(argv=[sys.argv[0]])
