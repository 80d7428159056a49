"""Which tokens of conversations are answers, found by changing one answer at a time: usage make_masks.py OUT_DIR.

Each conversation is rendered by transformers, then again with one answer replaced by another text, and tokenised by
tokenizers. The tokens that differ are that answer; the special token behind it ends the turn and belongs to it."""

import json
import sys
from pathlib import Path

from fixed_time import stop_the_clock
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|im_sep|>", "<start_of_turn>", "<end_of_turn>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
           "[INST]", "[/INST]", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>", "<｜User｜>", "<｜Assistant｜>", "<｜end｜>", "<|START_OF_TURN_TOKEN|>",
           "<|END_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|USER_TOKEN|>", "<|SYSTEM_TOKEN|>"]  # fmt: skip
TEMPLATES = ["chatml", "command", "deepseek", "gemma", "llama2", "llama3", "mistral", "phi", "phi4", "qwen", "qwen2", "r1", "zephyr"]  # fmt: skip
# In deepseek a plain answer in place of a call changes the next turn too, so what differs is not the answer alone; marked reads
# neither calls nor reasoning.
WITHOUT_CALLS = ["deepseek", "marked"]
OTHERS = ["Ωmega quilt zebra", "#7 jackdaws vex"]  # begin and end as no answer below does


def turns(*texts: str, system: str | None = None) -> list[dict]:
    """User and assistant by turns."""
    conversation = [] if system is None else [{"role": "system", "content": system}]
    roles = ("user", "assistant")
    return conversation + [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


def call(name: str, **arguments: str) -> dict:
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}]}  # fmt: skip


CONVERSATIONS = [
    turns("Hi", "Hello!"),
    turns("Hi", "Hello!", "And now?", "Now this."),
    turns("a", "b", "c", "d", "e", "f", "g", "h", "i", "j"),
    turns("Hi", "Ahoy!", "Where to?", "North.", system="You speak like a pirate."),
    turns("Say it again", "again", "again", "again", "again", "again"),  # answers that stand in the questions too
    turns("Köln 日本?", "Köln und 世界 👩‍👩‍👧‍👦", "é", "naïve café"),
    turns("Trim", "  padded answer \n", "more", "\n\nlines\nof text\n"),
    turns("Count", "1 2 3", "Go on", "4 5 6", "Stop", "."),
    turns("Think", "<think>\nA reason.\n</think>\n\nThe answer.", "Again", "<think>\nAnother.\n</think>\n\nYes."),
    turns("Think", "<think>\nA reason.\n</think>\n\nThe answer.", "Again", "No thought."),
    turns("user", "assistant", "assistant", "user"),  # words that headings have
    turns("What ends?", "model\n", "system", "</think> is a tag"),
    turns("q" * 50, "long " * 40 + "end", "short", "x"),
    turns("Code?", "```c\nint main() { return 0; }\n```", "Again?", "{{ not a tag }} {% nor this %}"),
    turns("x", "y", "x", "y", "x", "y", system="Equal turns."),
    [*turns("Last is a question", "An answer", "And this one is left out")],
    [*turns("Tide in Brest?"), call("tide", port="Brest"), {"role": "tool", "content": "4.2"}, {"role": "assistant", "content": "It is 4.2 metres."}],
    [*turns("Two calls"), call("one", a="b"), {"role": "tool", "content": "1"}, {"role": "assistant", "content": "Done."}, *turns("Thanks", "Welcome.")],
    [*turns("Reason"), {"role": "assistant", "content": "Short.", "reasoning_content": "Because of this."}, *turns("More", "Fine.")],
    [{"role": "developer", "content": "Be kind."}, *turns("Hi", "Hello, friend.")],
]  # fmt: skip


def make_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    lines = [" ".join(turn["content"] for turn in conversation) for conversation in CONVERSATIONS]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)  # fmt: skip
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in ("<think>", "</think>")])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


class Masks:
    def __init__(self, tokenizer: PreTrainedTokenizerFast, template: str) -> None:
        self.tokenizer, self.template = tokenizer, template
        self.special = set(tokenizer.convert_tokens_to_ids(SPECIAL))

    def ids(self, messages: list[dict]) -> list[int]:
        rendered, _ = chat_template_utils.render_jinja_template(
            conversations=[messages], chat_template=self.template, add_generation_prompt=False, bos_token="<s>", eos_token="</s>"
        )  # fmt: skip
        return self.tokenizer.encode(rendered[0], add_special_tokens=False)

    def changed(self, messages: list[dict], at: int, other: str) -> tuple[int, int]:
        """The tokens that differ when turn `at` says something else."""
        before = self.ids(messages)
        after = self.ids([*messages[:at], {"role": messages[at]["role"], "content": other}, *messages[at + 1 :]])
        least, first, last = min(len(before), len(after)), 0, 0
        while first < least and before[first] == after[first]:
            first += 1
        while last < least - first and before[-1 - last] == after[-1 - last]:
            last += 1
        return first, len(before) - last

    def answer(self, messages: list[dict], at: int) -> range:
        pieces = [self.changed(messages, at, other) for other in OTHERS]
        first, last = min(begin for begin, _ in pieces), max(end for _, end in pieces)
        ids = self.ids(messages)
        while last < len(ids) and ids[last] not in self.special:
            last += 1
        return range(first, min(len(ids), last + 1))

    def case(self, messages: list[dict]) -> dict:
        answers = [i for i, turn in enumerate(messages) if turn["role"] == "assistant"]
        messages = messages[: answers[-1] + 1]
        try:
            ids = self.ids(messages)
            for at in range(len(messages)):
                begin, end = self.changed(messages, at, OTHERS[0])
                if begin == end and len(ids) == len(
                    self.ids([*messages[:at], {**messages[at], "content": OTHERS[0]}, *messages[at + 1 :]])
                ):
                    return {"error": "left out"}
                for key, names in (
                    ("tool_calls", ["tool_calls"]),
                    ("reasoning_content", ["reasoning_content", "thinking"]),
                ):
                    if key in messages[at] and not any(name in self.template for name in names):
                        return {"error": "left out", "message": key}
            spans = [self.answer(messages, at) for at in answers]
        except Exception as error:  # noqa: BLE001 - the template refuses the conversation, or a changed one
            return {"error": "refused", "message": str(error)[:200]}
        masks = {"answers": [i for span in spans for i in span], "last": list(spans[-1])}
        return {"ids": ids, **{name: [int(i in set(chosen)) for i in range(len(ids))] for name, chosen in masks.items()}}  # fmt: skip

    def marked(self, messages: list[dict]) -> dict:
        """What {% generation %} marks, as transformers has it."""
        last = max(i for i, turn in enumerate(messages) if turn["role"] == "assistant")
        done = self.tokenizer.apply_chat_template(
            messages[: last + 1], chat_template=self.template, return_dict=True, return_assistant_tokens_mask=True
        )  # fmt: skip
        return {"ids": done["input_ids"], "answers": done["assistant_masks"]}


def main() -> None:
    out = Path(sys.argv[1]) / "masks"
    stop_the_clock()
    tokenizer = make_tokenizer(out)
    sources = {name: Path(f"tests/templates/{name}.jinja").read_text() for name in [*TEMPLATES, "marked"]}
    cases = [
        {"template": name, "messages": messages, **(masks.marked(messages) if name == "marked" else masks.case(messages))}
        for name, masks in ((name, Masks(tokenizer, source)) for name, source in sources.items())
        for messages in CONVERSATIONS
        if not (name in WITHOUT_CALLS and any("tool_calls" in turn or "reasoning_content" in turn for turn in messages))
    ]  # fmt: skip
    (out / "masks.json").write_text(json.dumps({"templates": sources, "cases": cases}))
    print(f"{len(cases)} cases, {sum('ids' in case for case in cases)} with masks")
    for case in cases:
        if "error" in case:
            print(case["template"], CONVERSATIONS.index(case["messages"]), case["error"], case.get("message", ""))


if __name__ == "__main__":
    main()
