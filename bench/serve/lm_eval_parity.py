"""ARC-Easy by lm-eval over HTTP beside `loraxs eval --by choices`, question by question: lm_eval_parity.py GGUF DATA [--limit 100]
[--lm-eval lm_eval] [--chat]. DATA is the folder of the task. lm-eval (pip install "lm-eval[api]", in an environment of its own) asks a
server for log-probabilities of prompt and answer (`local-completions`); its task file, made here, has the questions that `loraxs eval`
wrote down. Prints how many choices are the same and how far the sums of log-probabilities lie apart. With --chat it also generates by
`local-chat-completions`, which only has to work.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

from rates import Server

TASK = """task: loraxs_arc_easy
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: choices
doc_to_target: gold
target_delimiter: ""
metric_list: [{{metric: acc}}]
"""
CHAT_TASK = """task: loraxs_arc_easy_chat
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{choices[gold]}}}}"
generation_kwargs: {{until: ["\\n\\n"], max_gen_toks: 16, temperature: 0}}
metric_list: [{{metric: exact_match}}]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--program", default="build/loraxs")
    parser.add_argument("--lm-eval", default="lm_eval")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--chat", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        common = ["--model", options.model, "--precision", "float32"]
        subprocess.run([options.program, "eval", *common, "--task", "arc_easy", "--data", options.data, "--by", "choices", "--limit", str(options.limit),
                        "--answers", str(folder / "answers.jsonl"), "--json", "-q"], check=True, stdout=subprocess.DEVNULL)  # fmt: skip
        ours = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()[1:]]
        ours = sorted((row for row in ours if "sums" in row), key=lambda row: row["index"])
        rows = [
            {
                "question": row["question"],
                "choices": [f"the correct answer is {c}" for c in row["choices"]],
                "gold": row["choices"].index(row["gold"]),
            }
            for row in ours
        ]
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "task.yaml").write_text(TASK.format(data=folder / "rows.jsonl"))
        (folder / "chat.yaml").write_text(CHAT_TASK.format(data=folder / "rows.jsonl"))
        base = folder / "base"
        subprocess.run(
            [options.program, "convert", "--model", options.model, "--out", str(base), "-q"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        with Server(options.program, *common) as server:
            arguments = f"model=base,base_url={server.url}/v1/completions,tokenizer={base},tokenizer_backend=huggingface,num_concurrent=8,max_length=8192"
            words = [options.lm_eval, "--model", "local-completions", "--model_args", arguments, "--tasks", "loraxs_arc_easy", "--include_path", scratch,
                     "--output_path", str(folder / "out"), "--log_samples"]  # fmt: skip
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            samples = [
                json.loads(line) for line in next((folder / "out").rglob("samples_*.jsonl")).read_text().splitlines()
            ]
            if options.chat:
                arguments = f"model=base,base_url={server.url}/v1/chat/completions,num_concurrent=8"
                words = [options.lm_eval, "--model", "local-chat-completions", "--model_args", arguments, "--tasks", "loraxs_arc_easy_chat", "--include_path", scratch,
                         "--apply_chat_template", "--limit", "8", "--output_path", str(folder / "chat")]  # fmt: skip
                print(
                    json.dumps({"chat_exit": subprocess.run(words, check=False, stdout=subprocess.DEVNULL).returncode})
                )
        same, farthest = 0, 0.0
        for row, sample in zip(ours, sorted(samples, key=lambda s: s["doc_id"]), strict=True):
            theirs = [float(response[0][0]) for response in sample["resps"]]
            farthest = max(farthest, *(abs(a - b) for a, b in zip(theirs, row["sums"], strict=True)))
            same += theirs.index(max(theirs)) == row["sums"].index(max(row["sums"]))
        print(json.dumps({"questions": len(ours), "same_choice": same, "farthest_sum": farthest}))


if __name__ == "__main__":
    main()
