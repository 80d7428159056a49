"""Hugging Face's tokenizers on the texts of bench/text: MB/s of one thread as a JSON line for each tokenizer."""

import json
import os
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import gguf
import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers


def smollm2() -> Tokenizer:
    fields = gguf.GGUFReader(next(Path("models/smollm2").glob("*.gguf"))).fields
    tokens, merges = (fields["tokenizer.ggml." + name].contents() for name in ("tokens", "merges"))
    vocab = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[tuple(merge.split(" ")) for merge in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def main() -> None:
    lines = Path("data/qnli/dev.tsv").read_text().splitlines()
    megabytes = sum(len(line.encode()) for line in lines) / 1e6
    minilm = Tokenizer.from_file("models/minilm/tokenizer.json")
    minilm.no_truncation()
    minilm.no_padding()
    for name, tokenizer in (("minilm", minilm), ("smollm2", smollm2())):
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            encodings = tokenizer.encode_batch_fast(lines)
            seconds.append(time.perf_counter() - start)
        ids = [encoding.ids for encoding in encodings]
        start = time.perf_counter()
        tokenizer.decode_batch(ids)
        decode_seconds = time.perf_counter() - start
        print(
            json.dumps(
                {
                    "peer": "tokenizers " + tokenizers.__version__,
                    "tokenizer": name,
                    "encode_mb_per_s": round(megabytes / sorted(seconds)[2], 1),
                    "decode_mb_per_s": round(megabytes / decode_seconds, 1),
                }
            )
        )


if __name__ == "__main__":
    main()
