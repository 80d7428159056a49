"""What tests/generate/generation_test.cpp compares with: make_generation.py OUT_DIR.

A tiny random Llama with a byte-level tokenizer and a chat template (generation/), and transformers' greedy answers to 50 prompts of 5 to 300 random ids, float32, with the
difference of the two largest logits at every token: generation/answers.safetensors. Its beam searches of the first 100 ids of
these prompts, under several settings: generation/beams.safetensors.
"""

import sys
from pathlib import Path

import tokenizers
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PROMPTS, NEW_TOKENS = 50, 64
BEAM_TOKENS, LONGEST_SEARCHED = 24, 100
BEAM_ENDS = list(range(5, 300, 25))
EARLY_STOPPING = [False, True, "never"]
SEARCHES = [  # prompts, beams, returned, length penalty, index into EARLY_STOPPING
    (50, 4, 2, 1.0, 0),
    (5, 4, 4, 2.0, 0),
    (5, 4, 1, 0.0, 1),
    (20, 3, 3, 1.0, 1),
    (5, 4, 2, 0.5, 2),
    (5, 4, 2, -0.5, 2),
]


TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def tiny_tokenizer(vocab_size: int) -> PreTrainedTokenizerFast:
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([Path(__file__).read_text()], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", chat_template=TEMPLATE)


def tiny_llama() -> LlamaForCausalLM:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
        initializer_range=0.2,
        tie_word_embeddings=False,
        eos_token_id=None,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config).float().eval()


def search(model, prompts: list[torch.Tensor], beams: int, returned: int, penalty: float, early: int):
    """Answers [prompts, returned, BEAM_TOKENS] up to their end, filled up with -1, and their scores [prompts, returned]."""
    answers, scores = torch.full((len(prompts), returned, BEAM_TOKENS), -1, dtype=torch.int32), []
    for p, prompt in enumerate(prompts):
        result = model.generate(
            prompt[None],
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=BEAM_TOKENS,
            do_sample=False,
            num_beams=beams,
            num_return_sequences=returned,
            length_penalty=penalty,
            early_stopping=EARLY_STOPPING[early],
            eos_token_id=BEAM_ENDS,
            pad_token_id=BEAM_ENDS[0],
            return_dict_in_generate=True,
            output_scores=True,
        )
        for k, sequence in enumerate(result.sequences[:, len(prompt) :].tolist()):
            end = next((i for i, token in enumerate(sequence) if token in BEAM_ENDS), len(sequence))
            answers[p, k, :end] = torch.tensor(sequence[:end], dtype=torch.int32)
        scores.append(result.sequences_scores)
    return answers, torch.stack(scores)


def searches(model, prompts: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    tensors = {"ends": torch.tensor(BEAM_ENDS, dtype=torch.int32)}
    for case, (count, *options) in enumerate(SEARCHES):
        found, scores = search(model, [prompt[:LONGEST_SEARCHED] for prompt in prompts[:count]], *options)
        tensors |= {
            f"{case}.answers": found,
            f"{case}.scores": scores,
            f"{case}.options": torch.tensor(options).double(),
        }
    return tensors


def main(out: Path):
    torch.set_num_threads(1)  # the model is tiny
    model = tiny_llama()
    model.save_pretrained(out)
    tiny_tokenizer(model.config.vocab_size).save_pretrained(out)
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(5, 301, (PROMPTS,), generator=generator).tolist()
    prompts = [torch.randint(model.config.vocab_size, (length,), generator=generator) for length in lengths]
    answers, margins = [], []
    for prompt in prompts:
        result = model.generate(
            prompt[None],
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),  # else ids that equal the padding are masked
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
            pad_token_id=0,
        )
        answers.append(result.sequences[0, len(prompt) :])
        best = torch.cat(result.logits).topk(2).values
        margins.append(best[:, 0] - best[:, 1])
    starts = torch.tensor([0, *lengths]).cumsum(0)
    save_file(
        {
            "prompts": torch.cat(prompts).int(),
            "starts": starts.int(),
            "answers": torch.stack(answers).int(),
            "margins": torch.stack(margins),
        },
        out / "answers.safetensors",
    )
    save_file(searches(model, prompts), out / "beams.safetensors")


if __name__ == "__main__":
    folder = Path(sys.argv[1]) / "generation"
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
