"""Texts with the ids that Hugging Face's tokenizer of MiniLM gives: usage make_tokens.py OUT_DIR."""

import json
import random
import sys
import unicodedata
from pathlib import Path

from tokenizers import Tokenizer

ODD = [
    "", " ", "\t\n", "Hello, World!", "naïve café", "ＦＵＬＬ width", "İstanbul ISTANBUL ß ẞ", "日本語テキスト", "한국어",
    "👩‍👩‍👧‍👦 family 🏳️‍🌈", "a\u0301\u0327 e\u0301", "\u200b\u200d\ufeff zero", "\x00\x07\x1b control", "�", "x" * 101,
    "y" * 100, "[SEP] and [CLS] [MASK][PAD] [UNK]", "[sep]", "##ing", "don't won't", "a-b_c/d\\e|f", "$100 €5 £3 ¥2", "٣٤٥ १२३",
    "\u00a0nbsp\u2003em\u3000wide", "ŒÆﬁﬀ", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "…—–‘’“”", "½²³", "Ω≈ç√∫", "\u0378 unassigned \ue000 private",
]  # fmt: skip
CLASSES = [(0x20, 0x7F), (0x20, 0x7F), (0x61, 0x7B), (0x00, 0x20), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x600), (0x4E00, 0x4F00),
           (0x2000, 0x2070), (0x1F300, 0x1F650), (0xAC00, 0xAD00), (0xFF00, 0xFFF0), (0x900, 0xE00)]  # fmt: skip


def random_text(generator: random.Random) -> str:
    pieces = []
    for _ in range(generator.randrange(1, 12)):
        low, high = generator.choice(CLASSES)
        word = "".join(chr(generator.randrange(low, high)) for _ in range(generator.randrange(1, 9)))
        pieces.append(word)
    return generator.choice(["", " "]).join(pieces)


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file("models/minilm/tokenizer.json")
    tokenizer.no_padding()
    generator = random.Random(5)
    texts = ODD + [random_text(generator) for _ in range(20000)]
    # Unassigned code points differ between Unicode versions of the two libraries; assigned ones must agree.
    texts = ["".join(c for c in text if unicodedata.category(c) != "Cn") for text in texts]
    qnli = [line.split("\t") for line in Path("data/qnli/dev.tsv").read_text().splitlines()[1:2001]]
    cases = []
    for number, text in enumerate(texts):
        cases.append((text, None, [512, 128, 16, 8, 3][number % 5]))
    for row in qnli:
        cases.append((row[1], row[2], generator.choice([512, 64, 24, 9, 4])))
        cases.append((row[2], None, 128))
    entries = []
    for first, second, max_length in cases:
        tokenizer.enable_truncation(max_length)
        encoding = tokenizer.encode(first, second)
        entries.append(
            {
                "first": first,
                "second": second,
                "max_length": max_length,
                "ids": encoding.ids,
                "types": encoding.type_ids,
            }
        )
    (out / "tokens.json").write_text(json.dumps(entries))


if __name__ == "__main__":
    main()
