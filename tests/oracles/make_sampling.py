"""What tests/generate/sampling_test.cpp compares with: make_sampling.py OUT_DIR.

Random logits and options through transformers' LogitsProcessors in the order of its generate(): probabilities of every
token. sampling.safetensors: logits [cases, vocab], seen [cases, length], options [cases, 5], probabilities [cases, vocab].
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

CASES, VOCAB, SEEN = 400, 300, 40


def pick(values, generator):
    return values[torch.randint(len(values), (1,), generator=generator).item()]


def main(out: Path):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(CASES, VOCAB, generator=generator)
    seen = torch.randint(VOCAB, (CASES, SEEN), generator=generator)
    options, probabilities = [], []
    for case in range(CASES):
        penalty = pick([1.0, 1.1, 1.5, 0.8], generator)
        temperature = pick([1.0, 0.3, 0.7, 1.8], generator)
        top_k = pick([0, 1, 5, 50, 1000], generator)
        top_p = pick([1.0, 0.95, 0.5, 0.1], generator)
        min_p = pick([0.0, 0.05, 0.3], generator)
        processors = LogitsProcessorList()
        if penalty != 1:
            processors.append(RepetitionPenaltyLogitsProcessor(penalty))
        processors.append(TemperatureLogitsWarper(temperature))
        if top_k:
            processors.append(TopKLogitsWarper(top_k))
        if top_p < 1:
            processors.append(TopPLogitsWarper(top_p))
        if min_p:
            processors.append(MinPLogitsWarper(min_p))
        scores = processors(seen[case : case + 1], logits[case : case + 1].clone())
        options.append([penalty, temperature, top_k, top_p, min_p])
        probabilities.append(scores.double().softmax(-1)[0])
    tensors = {"logits": logits, "seen": seen.int(), "options": torch.tensor(options, dtype=torch.float64)}
    save_file(tensors | {"probabilities": torch.stack(probabilities)}, out / "sampling.safetensors")


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    main(Path(sys.argv[1]))
