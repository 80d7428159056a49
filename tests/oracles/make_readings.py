"""What models' files say, as transformers, tokenizers and llama.cpp's rules read it: usage make_readings.py OUT_DIR.

rotations/NAME: a Hugging Face folder or NAME.gguf with logits.safetensors, texts below and beyond the original length.
expressions.json: constructs of Oniguruma with the pieces that the tokenizers package cuts.
tokens/NAME: tokenizer folders with ids.json, what AutoTokenizer makes of texts.
cuts: a GGUF vocabulary, and the ids that llama.cpp gives for every name of tokenizer.ggml.pre.
"""

import copy
import json
import os
import shutil
import sys
import urllib.request
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import numpy as np
import torch
import xllamacpp
from make_decoders import random_decoder
from make_gguf import write_model
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig, BertModel, LlamaConfig

ORIGINAL, LONGEST = 24, 96  # positions before and after stretching
LENGTHS = [9, 24, 25, 70]
SIZES = {"vocab_size": 83, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": LONGEST, "rms_norm_eps": 1e-3}  # fmt: skip
PAIRS = 8


def ids_of(length: int) -> list[int]:
    return [(7 * i * i + 3 * i + length) % 83 for i in range(length)]


@torch.no_grad()
def write_logits(path: Path, model) -> None:
    tensors = {}
    for length in LENGTHS:
        ids = ids_of(length)
        tensors[f"ids{length}"] = np.array(ids, np.int32)
        tensors[f"logits{length}"] = model(input_ids=torch.tensor([ids])).logits[0].float().numpy()
    save_file(tensors, path)


def make_rotations(out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    factors = {
        "short_factor": [1.0 + 0.03 * i for i in range(PAIRS)],
        "long_factor": [1.5 + 0.4 * i for i in range(PAIRS)],
    }
    original = {"original_max_position_embeddings": ORIGINAL}
    new = {
        "linear": {"rope_type": "linear", "factor": 3.0},
        "dynamic": {"rope_type": "dynamic", "factor": 2.7},
        "yarn": {"rope_type": "yarn", "factor": 4.0, **original},
        "yarn-bounds": {"rope_type": "yarn", "factor": 3.5, "beta_fast": 8.0, "beta_slow": 0.5, "truncate": False, **original},
        "yarn-attention": {"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.4, **original},
        "yarn-mscale": {"rope_type": "yarn", "factor": 4.0, "mscale": 0.7, "mscale_all_dim": 1.3, **original},
        "longrope": {"rope_type": "longrope", **factors, **original},
        "longrope-factor": {"rope_type": "longrope", "factor": 2.0, **factors, **original},
        "longrope-attention": {"rope_type": "longrope", "attention_factor": 1.2, **factors, **original},
        "llama3": {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, **original},
    }  # fmt: skip
    old = {
        "old-yarn": {"rope_theta": 500.0, "rope_scaling": {"type": "yarn", "factor": 4.0, "finetuned": True, **original}},
        "old-dynamic": {"rope_scaling": {"type": "dynamic", "factor": 1.3}},
        # Its own key wins over the object's.
        "own-original": {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 80}, **original},
        # rope_scaling wins over rope_parameters, its theta with it; an empty one does not.
        "both": {"rope_scaling": {"rope_type": "linear", "factor": 2.0}, "rope_parameters": {"rope_type": "default", "rope_theta": 77.0}},
        "empty-scaling": {"rope_scaling": {}, "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 77.0}},
        "no-factor": {"rope_scaling": {"rope_type": "yarn", "factor": None, **original}},
    }  # fmt: skip
    model = random_decoder(LlamaConfig(**SIZES, rope_parameters={"rope_type": "default", "rope_theta": 300.0}), seed=5)
    cases = {name: {"rope_parameters": {"rope_theta": 300.0, **rope}} for name, rope in new.items()} | old
    for name, keys in cases.items():
        folder = out / name
        model.save_pretrained(folder)
        config = json.loads((folder / "config.json").read_text())
        config.pop("rope_parameters")
        (folder / "config.json").write_text(json.dumps(config | keys))
        write_logits(
            folder / "logits.safetensors", AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        )
    write_gguf_rotations(out, model)


def write_gguf_rotations(out: Path, model) -> None:
    """llama.cpp's keys beside what transformers calls the same."""
    theta = {"rope_theta": 300.0}
    original = {"original_max_position_embeddings": ORIGINAL}
    factors = {
        "short_factor": [1.0 + 0.03 * i for i in range(PAIRS)],
        "long_factor": [1.5 + 0.4 * i for i in range(PAIRS)],
    }

    def scaling(writer, kind, **numbers):
        writer.add_string("llama.rope.scaling.type", kind)
        for key, number in numbers.items():
            write = writer.add_uint32 if key == "original_context_length" else writer.add_float32
            write(f"llama.rope.scaling.{key}", number)

    def longrope(writer):
        scaling(writer, "longrope", original_context_length=ORIGINAL, attn_factor=1.2)
        for name, values in factors.items():
            writer.add_tensor(f"rope_factors_{name.split('_')[0]}.weight", np.array(values, np.float32))

    linear = {"rope_type": "linear", "factor": 4.0, **theta}
    cases = {
        "scale_linear": (lambda w: w.add_float32("llama.rope.scale_linear", 4.0), linear),
        "linear": (lambda w: scaling(w, "linear", factor=4.0), linear),
        "factor_alone": (lambda w: w.add_float32("llama.rope.scaling.factor", 4.0), linear),
        "none": (lambda w: scaling(w, "none", factor=4.0), {"rope_type": "default", **theta}),
        "yarn": (lambda w: scaling(w, "yarn", factor=4.0, original_context_length=ORIGINAL),
                 {"rope_type": "yarn", "factor": 4.0, **original, **theta}),
        "yarn_more": (lambda w: scaling(w, "yarn", factor=4.0, original_context_length=ORIGINAL, attn_factor=1.1,
                                        yarn_beta_fast=8.0, yarn_beta_slow=0.5),
                      {"rope_type": "yarn", "factor": 4.0, "beta_fast": 8.0, "beta_slow": 0.5,
                       "attention_factor": float(np.float32(1.1)) * (0.1 * np.log(4.0) + 1), **original, **theta}),
        "longrope": (longrope, {"rope_type": "longrope", "factor": 1.0, "attention_factor": float(np.float32(1.2)), **factors,
                                **original, **theta}),
    }  # fmt: skip
    for name, (extra, rope) in cases.items():
        config = copy.deepcopy(model.config)
        config.rope_parameters = rope
        scaled = type(model)(config).eval()
        scaled.load_state_dict(model.state_dict())
        write_model(out / f"{name}.gguf", model, ["F32"], extra=extra)
        write_logits(out / f"{name}.gguf.safetensors", scaled)
    write_model(out / "unknown.gguf", model, ["F32"], extra=lambda w: w.add_float32("llama.attention.sink_size", 4.0))
    write_model(out / "clamped.gguf", model, ["F32"], extra=lambda w: w.add_float32("llama.attention.clamp_kqv", 8.0))


TEXTS = ["aab abab b a{,}x{ x{a} }]", "Ab\na\r\nB\n", "12ab xyz AF \t\u00a0\u3000\u2028\u0085\x0b.", "日本々〆 ひらがな カタカナー 한국어",
         "naïve e\u0301 é É ß ﬁ ſ K Ⅷ ½ ٣", "a!$+<=>^`|~…©€-_\u203f\u200d&&[]", "hello deadBEEF CamelCase's we'll I'M", "",
         "αβ\u0342 Ωmega ａｂｃ 😀", "\x00\x01\x07\x1b\x08x", "aaaaaaaa aaab vV hH QaxbE .\\^$", "a&b c&&d a-b ^"]  # fmt: skip
EXPRESSIONS = [
    r"^a", r"b$", r"a\Z", r"B\z", r"\Aa", r"a.", r"(?m:b.)", r"(?m)b.", r"a(?m)b.|x", r"(?-m:b.)", r"x(?i)A|B", r"(?i:b)|a(?i)b",
    r"\h+", r"\H+", r"[\h]+", r"[^\h]+", r"[\H]+", r"\v", r"[\v]", r"\N+", r"\O", r"\R", r"[\R]", r"[\N]", r"[\X]", r"\X",
    r"\u3042|\u65e5", r"[\u4e00-\u9fff]+", r"\x{65e5}", r"\x41", r"\x4", r"\101", r"\cA", r"\e", r"\a", r"[\b]", r"\0", r"\t",
    r"a{,3}", r"a{,}", r"a{2}?", r"a{2,3}?", r"a{2,3}+b?", r"a{2}+", r"a{1,3}+a", r"a++b", r"a?+", r"a*+", r"a**b", r"a{2}{2}", r"x{", r"x{a}", r"}", r"]",
    r"[a[bx]]+", r"[^a[bx]]+", r"[a-z&&[^aeiou]]+", r"[a-z&&^aeiou]+", r"[\w&&\D]+", r"[^a-z&&[aeiou]]+", r"[a-c&&b-d&&b]+",
    r"[ab&&bx]+", r"[&&a]", r"[a&&]", r"[^&&a]", r"[a&b]+", r"[^\n\r&&\s]+", r"[\p{L}&&[^\p{Han}]]+", r"[[^a][^b]]", r"[a[^a-z]]+",
    r"[[:alpha:]]+", r"[[:^alpha:]]+", r"[[:punct:]]+", r"[[:upper:]]+", r"[[:lower:]]+", r"[[:word:]]+", r"[[:xdigit:]]+", r"[[:space:]]+",
    r"[[:digit:]]+", r"[[:cntrl:]]+", r"[[:graph:]]+", r"[[:print:]]+", r"[[:blank:]]+", r"[[:ascii:]]+", r"[[:alnum:]]+", r"[[:graph:]\n]+", r"[:alpha:]+",
    r"\p{Alpha}+", r"\p{Letter}+", r"\p{^L}+", r"\P{^L}+", r"\P{L}+", r"\p{Han}+", r"\p{Hiragana}+", r"\p{Greek}+", r"\p{Latin}+", r"\p{Lowercase_Letter}+",
    r"\p{Decimal_Number}", r"\p{Letter_Number}", r"\p{Punct}+", r"\p{LC}+", r"\p{lu}", r"\p{White_Space}+", r"\p{Any}", r"\pL", r"[\pL]", r"\p{Katakana}+", r"\p{Hangul}+",
    r"\w+", r"\W+", r"[\W]+", r"[^\W\d]+", r"\s+", r"\S+", r"\d+", r"\D+", r"\b", r"\B", r"a\b", r"\bb", r"(?<!\w)a", r"a(?!\w)",
    r"\Qa\E", r"\i", r"\V", r"\E", r"\G.", r"a\Kb", r"\^", r"\.", r"\$",
    r"(?<n>a)\k<n>", r"(a)\1", r"(?<n>a|b\g<n>b)", r"(?>a+)b", r"(?i)k", r"(?i:'m|'s|'ll)", r"(?x) a b # c", r"(?x: a [ b] )b", r"(?#com)a", r"(?<=a|ba)b", r"(?=a)", r"a|", r"",
    r"[]a]+", r"[a-]+", r"[a\-z]+", r"[a-z-9]+", r"[\]\[]+", r"[\^a]", r"[$]", r"[\s\S]", r"(a)?(?(1)b|x)", r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+", r"[\p{P}\$\+<=>\^~\|`]+", r"\p{N}{1,3}(?=(?:\p{N}{3})*\b)",
    # Refused by name, whatever Oniguruma does with them.
    r"\xe4\xb8\x80", r"\x{61 62}", r"\y", r"\Y", r"\C-a", r"\M-a", r"(?~ab)", r"(?P<n>a)", r"(?W)\w", r"(?D)\d", r"(?y{g})\X", r"(*FAIL)", r"a{3,1}",
    r"(?i:ss)", r"(?i:ﬁ)", r"(?s)a", r"(?<=a+)b", r"[\p{L}--a]", r"[a-\d]", r"[", r"a\X",
]  # fmt: skip


def pieces(pattern: str, text: str) -> list[str]:
    return [piece for piece, _ in pre_tokenizers.Split(Regex(pattern), "isolated").pre_tokenize_str(text)]


def make_expressions(path: Path) -> None:
    cases = []
    for pattern in EXPRESSIONS:
        try:
            cases.append({"pattern": pattern, "pieces": [pieces(pattern, text) for text in TEXTS]})
        except Exception as error:  # noqa: BLE001 (the package raises nothing narrower)
            cases.append({"pattern": pattern, "error": str(error)})
    path.write_text(json.dumps({"texts": TEXTS, "cases": cases}))


LINES = [
    "The old boat was good and it is fine .",
    "a new port , 12345 numbers !",
    "Köln 日本 世界 CamelCase deadBEEF",
] * 4
CHAT = "<|im_start|>user\nThe boat [MASK] was<|im_end|> Köln <pad> 日本 x<extra>y <img> z"
SENTENCES = [
    CHAT,
    "The old boat",
    " leading Blanks",
    "Köln naïve 世界 ÉTÉ",
    "<s> a </s> b <unk>",
    "[CLS] word [SEP] [PAD]",
    "",
]


def byte_bpe(add_prefix_space=False, added=(), post=True) -> Tokenizer:
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    t.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>", "<pad>", "<unk>", "<mask>", "<|im_start|>", "<|im_end|>"]
    t.train_from_iterator(
        LINES,
        trainers.BpeTrainer(vocab_size=340, initial_alphabet=alphabet, show_progress=False, special_tokens=special),
    )
    if post:
        t.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 0)]
        )
    return t


def word_piece(lowercase: bool) -> Tokenizer:
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZéÉö世界日本,.!<>|_",
        "The",
        "the",
        "old",
        "Köln",
        "koln",
    ]
    words += ["##" + c for c in "abcdefghijklmnopqrstuvwxyzéïö世界日本"]
    t = Tokenizer(models.WordPiece({w: i for i, w in enumerate(dict.fromkeys(words))}, unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return t


def added(content, special=True, **flags):
    return {
        "content": content,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "single_word": False,
        "special": special,
        **flags,
    }


def token_cases():
    llama = {"model_type": "llama", "vocab_size": 400}
    fast = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    ends = ["<|im_start|>", "<|im_end|>"]
    yield "plain", byte_bpe(), llama, {"tokenizer_config.json": fast}, []
    yield (
        "decoder",
        byte_bpe(),
        llama,
        {
            "tokenizer_config.json": fast
            | {"added_tokens_decoder": {"0": added("<s>"), "5": added("<|im_start|>"), "6": added("<|im_end|>")}}
        },
        ends,
    )
    yield (
        "decoder-new",
        byte_bpe(),
        llama,
        {
            "tokenizer_config.json": fast
            | {"added_tokens_decoder": {"350": added("<extra>"), "349": added("<img>", lstrip=True)}}
        },
        [],
    )
    yield (
        "decoder-flags",
        byte_bpe(),
        llama,
        {"tokenizer_config.json": fast | {"added_tokens_decoder": {"2": added("<pad>", lstrip=True, rstrip=True)}}},
        [],
    )
    yield (
        "decoder-plain",
        byte_bpe(),
        llama,
        {
            "tokenizer_config.json": fast
            | {"added_tokens_decoder": {"6": added("<|im_end|>", special=False)}, "eos_token": "<|im_end|>"}
        },
        ends,
    )
    yield "additional", byte_bpe(), llama, {"tokenizer_config.json": fast | {"additional_special_tokens": ends}}, ends
    yield (
        "extra-list",
        byte_bpe(),
        llama,
        {"tokenizer_config.json": fast | {"extra_special_tokens": [*ends, "<extra>"]}},
        ends,
    )
    yield (
        "extra-object",
        byte_bpe(),
        llama,
        {"tokenizer_config.json": fast | {"extra_special_tokens": {"image_token": "<img>"}}},
        [],
    )
    yield (
        "named",
        byte_bpe(),
        llama,
        {
            "tokenizer_config.json": fast
            | {
                "pad_token": "<pad>",
                "image_token": "<img>",
                "mask_token": {"__type": "AddedToken", **added("[MASK]", lstrip=True)},
            }
        },
        ["<pad>"],
    )
    yield (
        "added-file",
        byte_bpe(),
        llama,
        {"tokenizer_config.json": fast, "added_tokens.json": {"<extra>": 360, "<|im_end|>": 6}},
        ends,
    )
    yield (
        "map",
        byte_bpe(),
        llama,
        {
            "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"},
            "special_tokens_map.json": {
                "bos_token": "<s>",
                "eos_token": {"content": "<|im_end|>", "lstrip": True},
                "additional_special_tokens": ["<|im_start|>"],
            },
        },
        ends,
    )
    yield (
        "map-over-config",
        byte_bpe(),
        llama,
        {"tokenizer_config.json": fast, "special_tokens_map.json": {"eos_token": "<|im_end|>"}},
        ends,
    )
    yield (
        "map-beside-decoder",
        byte_bpe(),
        llama,
        {
            "tokenizer_config.json": fast | {"added_tokens_decoder": {"0": added("<s>")}},
            "special_tokens_map.json": {"eos_token": "<|im_end|>", "additional_special_tokens": ends},
        },
        ends,
    )
    yield (
        "add-bos-false",
        byte_bpe(),
        llama,
        {"tokenizer_config.json": fast | {"add_bos_token": False, "add_eos_token": True}},
        [],
    )
    yield (
        "no-post-processor",
        byte_bpe(post=False),
        llama,
        {"tokenizer_config.json": fast | {"add_bos_token": True}},
        [],
    )
    bert = {"model_type": "bert", "vocab_size": 400}
    for name, lowercase, settings in [
        ("bert-lower", False, {"tokenizer_class": "BertTokenizer", "do_lower_case": True}),
        ("bert-cased", True, {"tokenizer_class": "BertTokenizerFast", "do_lower_case": False}),
        ("bert-no-key", False, {"tokenizer_class": "BertTokenizer"}),
        ("bert-no-class", True, {"do_lower_case": False}),
        ("bert-accents", True, {"tokenizer_class": "BertTokenizer", "strip_accents": False}),
        (
            "bert-accents-cased",
            True,
            {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "strip_accents": True},
        ),
        ("bert-chinese", True, {"tokenizer_class": "BertTokenizer", "tokenize_chinese_chars": False}),
        ("bert-fast", False, {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": True}),
    ]:
        yield name, word_piece(lowercase), bert, {"tokenizer_config.json": settings}, []
    yield (
        "distilbert",
        word_piece(False),
        {"model_type": "distilbert", "vocab_size": 400},
        {"tokenizer_config.json": {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": True}},
        [],
    )
    roberta = {"model_type": "roberta", "vocab_size": 400}
    for name, in_json, settings in [
        ("roberta-prefix", False, {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": True}),
        ("roberta-no-key", True, {"tokenizer_class": "RobertaTokenizer"}),
        ("roberta-no-class", True, {"add_prefix_space": False}),
        ("roberta-fast", True, {"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": False}),
    ]:
        t = byte_bpe(add_prefix_space=in_json)
        t.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
        yield name, t, roberta, {"tokenizer_config.json": settings}, []


def forget(path: Path, contents) -> None:
    """tokenizer.json without these among its added tokens; the vocabulary keeps them."""
    tokenizer = json.loads(path.read_text())
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["content"] not in contents]
    path.write_text(json.dumps(tokenizer))


def make_tokens(out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    for name, tokenizer, config, files, forgotten in token_cases():
        folder = out / name
        folder.mkdir(parents=True)
        tokenizer.save(str(folder / "tokenizer.json"))
        forget(folder / "tokenizer.json", forgotten)
        for file, content in {"config.json": config, **files}.items():
            (folder / file).write_text(json.dumps(content))
        auto = AutoTokenizer.from_pretrained(folder)
        expected = {
            "ids": [auto(text).input_ids for text in SENTENCES],
            "bos": auto.bos_token_id,
            "eos": auto.eos_token_id,
        }
        (folder / "ids.json").write_text(json.dumps({"texts": SENTENCES, **expected}))


# Without combining marks, of which llama.cpp's expressions make less than those of the models' own tokenizers.
CUT_TEXTS = ["CamelCase's 12345/x I'LL don't", "naïve  é ÉTÉ ǅ 世界..x ひらがな,カタカナ 한국어!", "a\n\n b\r\n\tc   d 1234567 3.14 ½Ⅷ", " leading (x) [y] {z} $$+<=>^~|`",
             "https://x.org/a_b?c=1&d=2 😀😀", "def f(x):\n    return x**2\n", "", " ", "。、“q” -- …", "a\u3000"]  # fmt: skip
# One of each way to cut: gguf_pre_tokenizers.cpp has their other names.
PRE_TOKENIZERS = ["default", "gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2", "stablelm2", "tekken", "gpt-4o", "seed-coder", "falcon",
                  "deepseek-llm", "deepseek-coder", "deepseek-v3", "bloom", "viking"]  # fmt: skip


def crossing_vocabulary() -> dict:
    """Merges that cross every border that a way to cut could draw: ids tell where it did."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    t.train_from_iterator(
        CUT_TEXTS * 3, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    )
    return json.loads(t.to_str())["model"]


def llama_cpp_ids(path: Path) -> list[list[int]]:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = 64
    parameters.n_parallel = 1
    parameters.n_gpu_layers = 0
    parameters.warmup = False
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)

    def ids(text: str) -> list[int]:
        body = json.dumps({"content": text, "add_special": False}).encode()
        request = urllib.request.Request(
            f"{server.listening_address}/tokenize", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["tokens"]

    return [ids(text) for text in CUT_TEXTS]


def make_cuts(out: Path) -> None:
    """Ids by llama.cpp itself, of every name that this version of it knows."""
    out.mkdir(parents=True, exist_ok=True)
    vocabulary = crossing_vocabulary()
    tokens = sorted(vocabulary["vocab"], key=vocabulary["vocab"].get)
    config = LlamaConfig(
        **SIZES | {"vocab_size": len(tokens), "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    )
    model = random_decoder(config, seed=1)
    cases = {}
    for name in PRE_TOKENIZERS:

        def tokenizer(writer, name=name):
            writer.add_tokenizer_model("gpt2")
            writer.add_tokenizer_pre(name)
            writer.add_token_list(tokens)
            writer.add_token_types([1] * len(tokens))
            writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in vocabulary["merges"]])

        path = out / "vocabulary.gguf"
        write_model(path, model, ["F32"], extra=tokenizer)
        try:
            cases[name] = llama_cpp_ids(path)
        except Exception as error:  # noqa: BLE001 (the package raises nothing narrower)
            print(f"{name}: {error}")
    (out / "ids.json").write_text(json.dumps({"texts": CUT_TEXTS, "names": cases}))


def main() -> None:
    torch.set_num_threads(1)
    out = Path(sys.argv[1]) / "readings"
    out.mkdir(parents=True, exist_ok=True)
    make_rotations(out / "rotations")
    BertModel(
        BertConfig(hidden_size=24, num_attention_heads=2, intermediate_size=40, num_hidden_layers=2, vocab_size=50)
    ).save_pretrained(out / "bert")
    make_expressions(out / "expressions.json")
    make_tokens(out / "tokens")
    make_cuts(out / "cuts")


if __name__ == "__main__":
    main()
