"""Texts with the ids and decoded texts of every tokenizer family: usage make_tokens.py OUT_DIR.

texts.bin: for each case first text, second text (length -1: none), max_length. NAME.bin: for each case ids, type ids
and the text that decode gives, special tokens skipped in every second case. All numbers int32, texts with their length
in bytes before them. With LORAXS_DATA every text of that folder is a case too.
"""

import gzip
import json
import os
import random
import struct
import sys
import unicodedata
from pathlib import Path

import numpy as np
import sentencepiece
from make_tokenizers import FAMILIES
from tokenizers import Tokenizer

ODD = [
    "", " ", "\t\n", "Hello, World!", "naïve café", "ＦＵＬＬ width", "İstanbul ISTANBUL ß ẞ", "日本語テキスト", "한국어",
    "👩‍👩‍👧‍👦 family 🏳️‍🌈", "a\u0301\u0327 e\u0301", "\u200b\u200d\ufeff zero", "\x00\x07\x1b control", "�", "x" * 101,
    "y" * 100, "[SEP] and [CLS] [MASK][PAD] [UNK]", "[sep]", "##ing", "don't won't", "a-b_c/d\\e|f", "$100 €5 £3 ¥2", "٣٤٥ १२३",
    "\u00a0nbsp\u2003em\u3000wide", "ŒÆﬁﬀ", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "…—–‘’“”", "½²³", "Ω≈ç√∫", "\u0378 unassigned \ue000 private",
    "DON'T I'LL We'Re it'ſ K's", "a\u180eb\u0085c\u2028d", "  leading", "trailing  ", "a  b   c\n\n d\r\n\te", "▁a ▁▁b", "<0x41><0xE2>",
    "क्षि ன்று ဣ ខ្មែរ", "\u1100\u1161\u11a8 각", "ǅ ŉ ﬃ Å Å ℵ ①②", "e\u0301\u0323", "word words words. word-word WORD _word", "WordRaw WordRaws",
    "  <left>  a <right>  b <both>  c <mask>  d", "<|endoftext|>x<|end y <|END", "日本語", "ab " * 1000, "z" * 3000, "\u0300\u0301" * 40,
]  # fmt: skip
SNIPPETS = [
    "<mask>", " <mask> ", "<s>", "</s>", "<pad>", "<unk>", "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|begin_of_text|>", "<|endoftext|>",
    "[SEP]", "[MASK]", "word", " word ", "<left>", " <both> ", "<right>  ", "<bos>", "<start_of_turn>", "  ", "\r\n", "\n\n", "'s", "'LL",
    "▁", "<0x0A>", "👩‍👩‍👧", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🇩🇪", "❤️", "👍🏽", "12345", " 7", "x²", "3.14", "don't", "e\u0301", "\u1112\u1161\u11ab",
]  # fmt: skip
CLASSES = [(0x20, 0x7F), (0x20, 0x7F), (0x61, 0x7B), (0x00, 0x20), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x600), (0x4E00, 0x4F00),
           (0x2000, 0x2070), (0x1F300, 0x1F650), (0xAC00, 0xAD00), (0xFF00, 0xFFF0), (0x900, 0xE00), (0x600, 0x800), (0x2070, 0x2C00),
           (0xE00, 0x2000), (0x3000, 0x3400), (0xA000, 0xAC00), (0xF900, 0xFE10), (0x1D400, 0x1D800), (0x10000, 0x20000), (0xE0000, 0xE0200),
           (0x20000, 0x30000), (0x40, 0x5B)]  # fmt: skip
MAX_LENGTHS = [512, 128, 16, 8, 5]
STRINGS = int(os.environ.get("LORAXS_STRINGS", "8000"))  # scripts/soak takes 50,000


def random_text(generator: random.Random) -> str:
    pieces = []
    for _ in range(generator.randrange(1, 9)):
        if generator.random() < 0.15:
            pieces.append(generator.choice(SNIPPETS))
            continue
        low, high = generator.choice(CLASSES)
        pieces.append("".join(chr(generator.randrange(low, high)) for _ in range(generator.randrange(1, 7))))
    return generator.choice(["", " ", " "]).join(pieces)


def assigned(text: str) -> str:
    """Without code points that Unicode 14 does not have: libraries of different Unicode versions differ in them."""
    return "".join(c for c in text if unicodedata.category(c) not in ("Cn", "Cs"))


def corpus_texts(folder: Path) -> list[str]:
    texts = []
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".tsv", ".jsonl", ".json", ".txt", ".gz"):
            continue
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
        if ".json" in path.name:
            rows = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.split("\n") if line]
            texts += [value for row in rows for value in row.values() if isinstance(value, str)]
        elif ".tsv" in path.name:
            rows = [line.split("\t") for line in text.split("\n")]
            texts += [cell for row in rows for cell in row if " " in cell and not cell.startswith("(")]
        else:
            texts += text.split("\n")
    return list(dict.fromkeys(texts))


def make_cases(generator: random.Random) -> list[tuple[bytes, bytes | None, int]]:
    texts = [assigned(text) for text in ODD + [random_text(generator) for _ in range(STRINGS)]]
    cases = []
    for number, text in enumerate(texts):
        second = texts[generator.randrange(len(texts))] if number % 8 == 0 else None
        length = 100_000 if number < len(ODD) else MAX_LENGTHS[number % len(MAX_LENGTHS)]
        cases.append((text.encode(), None if second is None else second.encode(), length))
    while len(cases) < len(texts) + 1000:  # invalid UTF-8: texts with bytes changed, cut or put in
        text = bytearray(generator.choice(texts).encode())[:200]
        for _ in range(generator.randrange(1, 4)):
            place = generator.randrange(len(text) + 1)
            text[place : place + generator.randrange(3)] = bytes([generator.randrange(0x80, 0x100)])
        shown = text.decode(errors="replace")
        if assigned(shown) == shown:  # a changed byte may make another character, too
            cases.append((bytes(text), None, 512))
    for row in [line.split("\t") for line in Path("data/qnli/dev.tsv").read_text().splitlines()[1:2001]]:
        cases.append((row[1].encode(), row[2].encode(), generator.choice([512, 64, 24, 9, 5])))
        cases.append((row[2].encode(), None, 128))
    if "LORAXS_DATA" in os.environ:
        cases += [(text.encode(), None, 100_000) for text in corpus_texts(Path(os.environ["LORAXS_DATA"]))]
    return cases


def number(value: int) -> bytes:
    return struct.pack("<i", value)


def write_texts(path: Path, cases: list[tuple[bytes, bytes | None, int]]) -> None:
    with path.open("wb") as out:
        out.write(number(len(cases)))
        for first, second, max_length in cases:
            out.write(number(len(first)) + first)
            out.write(number(-1) if second is None else number(len(second)) + second)
            out.write(number(max_length))


def write_results(path: Path, results: list[tuple[list[int], list[int], str]]) -> None:
    with path.open("wb") as out:
        for ids, types, text in results:
            decoded = text.encode()
            out.write(number(len(ids)) + np.array(ids + types, dtype="<i4").tobytes())
            out.write(number(len(decoded)) + decoded)


def results_of(tokenizer: Tokenizer, cases: list[tuple[bytes, bytes | None, int]]) -> list:
    tokenizer.no_padding()
    groups: dict[tuple[int, bool], list[int]] = {}  # cases of one max_length and one skip_special_tokens
    for place, (_, _, max_length) in enumerate(cases):
        groups.setdefault((max_length, place % 2 == 1), []).append(place)
    results: list = [None] * len(cases)
    for (max_length, skip), group in groups.items():
        tokenizer.enable_truncation(max_length)
        for start in range(0, len(group), 1000):  # an encoding is large
            places = group[start : start + 1000]
            inputs = []
            for place in places:
                texts = [text.decode(errors="replace") for text in cases[place][:2] if text is not None]
                inputs.append(texts[0] if len(texts) == 1 else tuple(texts))
            encodings = [(each.ids, each.type_ids) for each in tokenizer.encode_batch(inputs)]
            decoded = tokenizer.decode_batch([ids for ids, _ in encodings], skip_special_tokens=skip)
            for place, (ids, types), text in zip(places, encodings, decoded, strict=True):
                results[place] = (ids, types, text)
    return results


def sentencepiece_results(path: Path, cases: list[tuple[bytes, bytes | None, int]], fairseq: bool, bos: bool) -> list:
    """Single texts without special tokens in them, as the original encodes and decodes them; no truncation."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    special = [
        processor.id_to_piece(i) for i in range(len(processor)) if processor.is_control(i) or processor.is_unknown(i)
    ]
    special += ["<mask>", "<pad>"] if fairseq else []
    results = []
    for first, second, _ in cases:
        text = first.decode(errors="replace")
        if second is not None or any(token in text for token in special):
            results.append(([], [], ""))  # not compared
            continue
        ids = processor.encode(text)
        decoded = processor.decode([i for i in ids if i != processor.unk_id()])
        if fairseq:
            ids = [0, *(3 if i == 0 else i + 1 for i in ids), 2]
        elif bos:
            ids = [processor.bos_id(), *ids]
        results.append((ids, [0] * len(ids), decoded))
    return results


def piece_scores(path: Path, fairseq: bool) -> np.ndarray:
    """log p of each id of a result, where the model has one: sums of two ways to write a text tell whether they tie."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    scores = [processor.get_score(i) for i in range(len(processor))]
    return np.array([0, *scores] if fairseq else scores, dtype="<f4")


def main() -> None:
    out = Path(sys.argv[1]) / "tokens"
    out.mkdir(parents=True, exist_ok=True)
    generator = random.Random(5)
    cases = make_cases(generator)
    write_texts(out / "texts.bin", cases)
    texts = [first.decode(errors="replace") for first, _, _ in cases[len(ODD) :: 100]][:500]
    texts += Path("data/qnli/train.tsv").read_text().splitlines()[1:2000]
    write_results(out / "minilm.bin", results_of(Tokenizer.from_file("models/minilm/tokenizer.json"), cases))
    for name, make in FAMILIES.items():
        folder = out / name
        folder.mkdir(exist_ok=True)
        (out / "gpt2-files").mkdir(exist_ok=True)
        tokenizer = make(texts, folder)
        tokenizer.save(str(folder / "tokenizer.json"))
        write_results(out / f"{name}.bin", results_of(tokenizer, cases))
    for name, file, fairseq in (
        ("xlm-roberta-model", "sentencepiece.bpe.model", True),
        ("llama2-model", "tokenizer.model", False),
        ("gemma-model", "tokenizer.model", False),
        ("unigram-model", "tokenizer.model", False),
    ):
        write_results(out / f"{name}.bin", sentencepiece_results(out / name / file, cases, fairseq, bos=not fairseq))
        piece_scores(out / name / file, fairseq).tofile(out / f"{name}.scores")


if __name__ == "__main__":
    main()
