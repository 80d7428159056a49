"""Conversations and small templates as transformers renders them: usage make_chats.py OUT_DIR."""

import json
import random
import sys
from pathlib import Path

import jinja2
from fixed_time import stop_the_clock
from gguf import GGUFReader
from jinja_snippets import CONTEXT, all_snippets
from transformers.utils import chat_template_utils

TEXTS = ["", " ", "Hello", "  padded \n", "Zwei\nZeilen", "naïve café", "日本語のテキスト", "👩‍👩‍👧‍👦 🏳️‍🌈", "a\u0301 Ω≈ç", "<b>&amp;\"'</b>", "{{ not }} {% a tag %}",
         "\u2028\u00a0\u3000edge\u200b", "1 + 1 = 2?", "<think>hm\n</think>\n\nYes.", "tab\there", "\r\nCRLF\r\n", "x" * 300, "<|im_end|>", "</s> [/INST]",
         "<tool_response>\n3\n</tool_response>", "\\n \\u00e9"]  # fmt: skip
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "Wetter für “Städte” & <more>", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}, "at": {"type": "object", "properties": {"day": {"type": "integer"}}}},
        "required": ["city"]}, "return": {"type": "number"}}},
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
]  # fmt: skip


def kind_of(error: Exception) -> str:
    if isinstance(error, (jinja2.exceptions.TemplateSyntaxError, SyntaxError)):
        return "syntax"
    if isinstance(error, jinja2.exceptions.SecurityError):
        return "security"
    if isinstance(error, jinja2.exceptions.UndefinedError):
        return "undefined"
    if isinstance(error, jinja2.exceptions.FilterArgumentError):
        return "type"
    if isinstance(error, jinja2.exceptions.TemplateRuntimeError):
        return "syntax" if "named" in str(error) else "type"
    if isinstance(error, jinja2.exceptions.TemplateError):
        return "raised"
    if isinstance(error, RecursionError):
        return "limit"
    if isinstance(error, AttributeError):
        return "undefined"
    return "type" if isinstance(error, TypeError) else "value"


def render(template: str, messages: list, options: dict) -> dict:
    extra = dict(options.get("extra") or {})
    tokens = {name: options[name] for name in ("bos_token", "eos_token") if options.get(name)}
    try:
        rendered, _ = chat_template_utils.render_jinja_template(
            conversations=[messages],
            chat_template=template,
            tools=options.get("tools"),
            add_generation_prompt=options.get("add_generation_prompt", False),
            **tokens,
            **extra,
        )
        return {"text": rendered[0]}
    except Exception as error:  # noqa: BLE001 - which one it is, is the answer
        return {"error": kind_of(error), "message": str(error)}


def snippet(template: str) -> dict:
    try:
        return {"text": chat_template_utils._compile_jinja_template(template).render(**CONTEXT)}
    except Exception as error:  # noqa: BLE001
        return {"error": kind_of(error), "message": str(error)}


def random_call(generator: random.Random) -> dict:
    arguments = generator.choice([{"city": "Köln", "n": 1.5}, {}, '{"raw": true}', {"deep": [1, {"x": None}]}])
    return {"id": generator.choice(["abcdefghi", "short"]), "type": "function", "function": {"name": "weather", "arguments": arguments}}  # fmt: skip


def random_turn(generator: random.Random, role: str) -> dict:
    turn = {"role": role, "content": generator.choice(TEXTS)}
    odd = generator.random()
    if odd < 0.06:
        turn["content"] = [
            {"type": "text", "text": generator.choice(TEXTS)},
            {"type": "image"},
            {"type": "text", "text": "two"},
        ]
    elif odd < 0.09:
        turn["content"] = None
    elif odd < 0.11:
        del turn["content"]
    elif odd < 0.13:
        del turn["role"]
    if role == "assistant" and generator.random() < 0.25:
        turn["tool_calls"] = [random_call(generator) for _ in range(generator.choice([1, 1, 2]))]
    if role == "assistant" and generator.random() < 0.15:
        turn[generator.choice(["reasoning_content", "thinking", "reasoning"])] = generator.choice(TEXTS)
    if role == "tool" and generator.random() < 0.5:
        turn["tool_call_id"] = "abcdefghi"
    if role == "tool" and generator.random() < 0.3:
        turn["content"] = {"temperature": 3, "content": [1, "é"]}
    return turn


def conversation(generator: random.Random) -> list[dict]:
    if generator.random() < 0.02:
        return []
    turns = [random_turn(generator, "system")] if generator.random() < 0.5 else []
    for _ in range(generator.randrange(1, 5)):
        turns.append(random_turn(generator, "user"))
        if generator.random() < 0.85:
            turns.append(random_turn(generator, "assistant"))
        if generator.random() < 0.15:
            turns += [random_turn(generator, "tool"), random_turn(generator, generator.choice(["assistant", "tool"]))]
    if generator.random() < 0.06:
        generator.shuffle(turns)
    if generator.random() < 0.04:
        turns.append(random_turn(generator, generator.choice(["ipython", "developer", "narrator"])))
    return turns


def random_options(generator: random.Random) -> dict:
    options = {"add_generation_prompt": generator.random() < 0.5}
    if generator.random() < 0.85:
        options |= {"bos_token": "<s>", "eos_token": "</s>"}
    if generator.random() < 0.3:
        options["tools"] = TOOLS[: generator.randrange(0, 3)]
    if generator.random() < 0.2:
        options["extra"] = generator.choice(
            [{"enable_thinking": False}, {"date_string": "1 Mai"}, {"tools_in_user_message": False}]
        )
    return options


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    stop_the_clock()
    reader = GGUFReader("models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    templates = {path.stem: path.read_text() for path in sorted(Path("tests/templates").glob("*.jinja"))}
    templates["smollm2"] = reader.get_field("tokenizer.chat_template").contents()
    generator = random.Random(11)
    cases = []
    for _ in range(320):
        messages, options = conversation(generator), random_options(generator)
        results = {name: render(source, messages, options) for name, source in templates.items()}
        cases.append({"messages": messages, "options": options, "results": results})
    marked = []
    for case in cases[:100]:
        arguments = {"messages": case["messages"], "add_generation_prompt": False, "bos_token": "<s>", "eos_token": "</s>", "tools": None, "documents": None}  # fmt: skip
        try:
            text, spans = chat_template_utils._render_with_assistant_indices(
                compiled_template=chat_template_utils._compile_jinja_template(templates["marked"]), **arguments
            )
        except Exception:  # noqa: BLE001, S112 - what transformers refuses has no spans
            continue
        marked.append({"messages": case["messages"], "text": text, "said": [text[begin:end] for begin, end in spans]})
    snippets = [{"template": template, **snippet(template)} for template in all_snippets()]
    contents = {"templates": templates, "cases": cases, "marked": marked, "snippets": snippets, "context": CONTEXT}
    (out / "chats.json").write_text(json.dumps(contents))
    rendered = sum("text" in result for case in cases for result in case["results"].values())
    print(f"{len(cases)} conversations x {len(templates)} templates, {rendered} rendered; {len(snippets)} snippets")


if __name__ == "__main__":
    main()
