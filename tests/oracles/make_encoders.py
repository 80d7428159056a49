"""What the C++ tests compare with, computed by transformers and autograd: usage make_encoders.py OUT_DIR.

Per case a Hugging Face folder and case.safetensors: packed inputs, logits, adapted logits, gradients, in three precisions;
for `tiny_paper` also 100 AdamW steps.
"""

import json
import shutil
import sys
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
import trajectory
from lora_xs import adapt_layers, round_from
from safetensors.torch import save_file
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    RobertaConfig,
    XLMRobertaConfig,
    get_linear_schedule_with_warmup,
)


@dataclass
class Family:
    """Where a family's projections and head stand, under our canonical names."""

    layers: str
    modules: dict[str, str]
    head: dict[str, str]  # what `head: full` trains


BERT_MODULES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "intermediate": "intermediate.dense",
    "mlp_output": "output.dense",
}
DISTILBERT_MODULES = {
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "attention_output": "attention.out_lin",
    "intermediate": "ffn.lin1",
    "mlp_output": "ffn.lin2",
}
ROBERTA = Family(
    "roberta.encoder.layer", BERT_MODULES, {"head.dense": "classifier.dense", "head.classifier": "classifier.out_proj"}
)
FAMILIES = {
    "bert": Family("bert.encoder.layer", BERT_MODULES, {"head.classifier": "classifier"}),
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "distilbert": Family(
        "distilbert.transformer.layer",
        DISTILBERT_MODULES,
        {"head.dense": "pre_classifier", "head.classifier": "classifier"},
    ),
}
PAPER = ["query", "value", "attention_output", "mlp_output"]
ALL_LINEAR = list(BERT_MODULES)


def adapt(model, targets, rank, alpha, seed):
    """Replaces the targets by LoraXs; returns {canonical name: module} in canonical order."""
    family = FAMILIES[model.config.model_type]
    sites = adapt_layers(model.get_submodule(family.layers), family.modules, targets, rank, alpha, seed)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for module in sites.values():
        module.r.requires_grad_(True)
    for layer in head_layers(model).values():
        layer.requires_grad_(True)
    return sites


def head_layers(model):
    """{canonical name: layer} of what `head: full` trains."""
    return {name: model.get_submodule(path) for name, path in FAMILIES[model.config.model_type].head.items()}


def train_head(model):
    """Moves the head away from the checkpoint's, so that a test notices which of the two is used."""
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for layer in head_layers(model).values():
            for parameter in layer.parameters():
                change = torch.randn(parameter.shape, generator=generator)
                parameter.add_(0.1 * change)


def random_encoder(config, seed):
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm.weight" in name.lower():
                parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
            else:
                parameter.copy_(0.25 * torch.randn_like(parameter))
    return model


def logits_of(model, sequences):
    """One sequence at a time: no padding can hide a mistake."""
    rows = []
    for ids, types in sequences:
        types = {"token_type_ids": types[None]} if getattr(model.config, "type_vocab_size", 0) > 1 else {}
        rows.append(model(input_ids=ids[None], attention_mask=torch.ones_like(ids[None]), **types).logits)
    return torch.cat(rows)


def loss_of(logits, labels):
    if logits.shape[1] == 1:
        return torch.nn.functional.mse_loss(logits[:, 0], labels.to(logits.dtype))
    return torch.nn.functional.cross_entropy(logits, labels.long())


def packed(sequences):
    lengths = torch.tensor([0] + [len(ids) for ids, _ in sequences])
    return {
        "input_ids": torch.cat([ids for ids, _ in sequences]).int(),
        "token_type_ids": torch.cat([types for _, types in sequences]).int(),
        "starts": lengths.cumsum(0).int(),
    }


def random_sequences(config, lengths, seed):
    generator = torch.Generator().manual_seed(seed)
    sequences = []
    for length in lengths:
        ids = torch.randint(0, config.vocab_size, (length,), generator=generator)
        types = (torch.arange(length) >= length // 2).long()
        sequences.append((ids, types))
    return sequences


@torch.no_grad()
def keep_from_kink(model, sequences, targets, rank, alpha):
    """Moves the biases of a ReLU head so that each sum lies far from 0: rounding of 2^-9 would else turn units on or off,
    and gradients of bfloat16 would be 0.05 or 0.25 away from float64 by chance."""
    exact = deepcopy(model).double()
    train_head(exact)
    adapt(exact, targets, rank, alpha, seed=5)
    sums = []
    exact.pre_classifier.register_forward_hook(lambda layer, inputs, output: sums.append(output))
    logits_of(exact, sequences)
    ordered = torch.cat(sums).sort(dim=0).values
    gap = ordered.diff(dim=0).argmax(dim=0, keepdim=True)
    middle = (ordered.gather(0, gap) + ordered.gather(0, gap + 1)) / 2
    model.pre_classifier.bias -= middle[0].float()


def write_case(out, name, model, sequences, labels, targets, rank, alpha):
    if hasattr(model, "pre_classifier"):
        keep_from_kink(model, sequences, targets, rank, alpha)
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    tensors = packed(sequences) | {"labels": labels.float()}
    for suffix, dtype in (("", torch.float32), ("64", torch.float64), ("16", torch.bfloat16)):
        copy = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        train_head(copy)
        copy.to(dtype)
        with torch.no_grad():
            tensors["logits" + suffix] = logits_of(copy, sequences)
        sites = adapt(copy, targets, rank, alpha, seed=5)
        if suffix == "16":
            round_from(sites, tensors)
        logits = logits_of(copy, sequences)
        loss = loss_of(logits.float() if suffix == "16" else logits, labels)
        loss.backward()
        tensors["adapted_logits" + suffix] = logits.detach()
        tensors["loss" + suffix] = loss.detach()
        for site, module in sites.items():
            tensors[f"grad{suffix}.{site}"] = module.r.grad.float() if suffix == "16" else module.r.grad.clone()
            if not suffix:
                tensors[f"basis.{site}.a"], tensors[f"basis.{site}.b"] = module.a, module.b
                tensors[f"r.{site}"] = module.r.detach().clone()
        for layer_name, layer in head_layers(copy).items():
            for kind in ("weight", "bias"):
                gradient = getattr(layer, kind).grad
                tensors[f"grad{suffix}.{layer_name}.{kind}"] = gradient.float() if suffix == "16" else gradient.clone()
                if not suffix:
                    tensors[f"{layer_name}.{kind}"] = getattr(layer, kind).detach().clone()
    metadata = {"rank": str(rank), "alpha": str(alpha), "modules": ",".join(targets)}
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "case.safetensors", metadata=metadata)
    return folder


def write_trajectory(folder, sequences, labels, rank, alpha, steps=100, batch=4):
    """100 AdamW steps, head frozen and trained, in float64: losses and rows after each; how far float32 gets from them."""
    tensors = packed(sequences) | {"labels": labels.float()}
    generator = torch.Generator().manual_seed(11)
    order = torch.stack([torch.randperm(len(sequences), generator=generator)[:batch] for _ in range(steps)])
    tensors["batches"] = order.int()

    def run(head, dtype, order, number=0):
        model = BertForSequenceClassification.from_pretrained(folder).eval().to(dtype)
        sites = adapt(model, PAPER, rank, alpha, seed=5)
        if dtype == torch.float64:
            for site, module in sites.items():
                tensors[f"basis.{site}.a"], tensors[f"basis.{site}.b"] = module.a.float(), module.b.float()
        trajectory.shake(model, number)
        rs = [module.r for module in sites.values()]
        heads = list(model.classifier.parameters())
        groups = [{"params": rs, "lr": 1e-2}] + ([{"params": heads, "lr": 5e-3}] if head == "trained" else [])
        optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
        schedule = get_linear_schedule_with_warmup(optimizer, int(0.06 * steps), steps)
        losses, rows = [], []
        for indices in order:
            optimizer.zero_grad()
            indices = trajectory.rotated(indices, number)
            loss = loss_of(logits_of(model, [sequences[i] for i in indices]), labels[indices])
            loss.backward()
            torch.nn.utils.clip_grad_norm_([p for g in groups for p in g["params"]], 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            rows.append(torch.cat([p.detach().reshape(-1) for p in rs + heads]).double())
        return losses, rows

    for head in ("frozen", "trained"):
        exact = run(head, torch.float64, order)
        rounded = [run(head, torch.float32, order[: steps // 2], number) for number in range(trajectory.RUNS)]
        tensors |= {f"{name}.{head}": values for name, values in trajectory.spread(exact, rounded).items()}
        tensors[f"loss64.{head}"] = torch.tensor(exact[0], dtype=torch.float64)
        tensors[f"rows64.{head}"] = torch.stack(exact[1])
    fresh = BertForSequenceClassification.from_pretrained(folder)
    for site, module in adapt(fresh, PAPER, rank, alpha, seed=5).items():
        tensors[f"r.{site}"] = module.r.detach().clone()
    tensors["head.classifier.weight"] = fresh.classifier.weight.detach().clone()
    tensors["head.classifier.bias"] = fresh.classifier.bias.detach().clone()
    metadata = {"rank": str(rank), "alpha": str(alpha), "modules": ",".join(PAPER)}
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "trajectory.safetensors", metadata=metadata)


def main():
    torch.set_num_threads(1)  # tiny tensors: a second thread only waits
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    bert = {"vocab_size": 97, "type_vocab_size": 2, "max_position_embeddings": 64, "hidden_act": "gelu"}
    # Two more rows of positions: the first one's row is pad_token_id + 1.
    roberta = {"vocab_size": 97, "type_vocab_size": 1, "max_position_embeddings": 66, "layer_norm_eps": 1e-5}
    shapes = {
        "tiny_paper": (BertConfig(**bert, hidden_size=32, num_attention_heads=2, intermediate_size=64, num_hidden_layers=3,
                                  layer_norm_eps=1e-5, num_labels=2), PAPER, 4, 16.0),
        "tiny_all_linear": (BertConfig(**bert, hidden_size=48, num_attention_heads=4, intermediate_size=80,
                                       num_hidden_layers=2, layer_norm_eps=1e-12, num_labels=3), ALL_LINEAR, 9, 5.0),
        "tiny_regression": (BertConfig(**bert, hidden_size=24, num_attention_heads=3, intermediate_size=40,
                                       num_hidden_layers=2, layer_norm_eps=1e-3, num_labels=1), PAPER, 5, 8.0),
        "tiny_roberta": (RobertaConfig(**roberta, hidden_size=40, num_attention_heads=4, intermediate_size=64,
                                       num_hidden_layers=2, num_labels=3), ALL_LINEAR, 6, 6.0),
        "tiny_xlm_roberta": (XLMRobertaConfig(**roberta | {"max_position_embeddings": 70}, pad_token_id=5, hidden_size=24,
                                              num_attention_heads=2, intermediate_size=48, num_hidden_layers=2,
                                              num_labels=1), PAPER, 4, 3.0),
        "tiny_distilbert": (DistilBertConfig(vocab_size=97, dim=32, n_heads=4, hidden_dim=72, n_layers=3,
                                             max_position_embeddings=64, num_labels=2), ALL_LINEAR, 7, 16.0),
    }  # fmt: skip
    for number, (name, (config, targets, rank, alpha)) in enumerate(shapes.items()):
        model = random_encoder(config, seed=number)
        sequences = random_sequences(config, [7, 1, 30, 64, 12, 2, 19], seed=number)
        if config.num_labels == 1:
            labels = torch.randn(len(sequences), generator=torch.Generator().manual_seed(1))
        else:
            labels = torch.arange(len(sequences)) % config.num_labels
        folder = write_case(out, name, model, sequences, labels, targets, rank, alpha)
        if name == "tiny_paper":
            many = random_sequences(config, [3 + 5 * (i % 9) for i in range(16)], seed=77)
            write_trajectory(folder, many, torch.arange(16) % 2, rank, alpha)

    minilm = Path("models/minilm")
    config = json.loads((minilm / "config.json").read_text())
    mini = BertConfig(**config, num_labels=2)
    torch.manual_seed(3)
    model = BertForSequenceClassification.from_pretrained(minilm, config=mini).eval()
    with torch.no_grad():
        model.classifier.weight.normal_(0, 0.3)
    sequences = random_sequences(mini, [5, 11, 50, 128, 37, 20, 9, 64], seed=9)
    write_case(out, "minilm", model, sequences, torch.arange(8) % 2, PAPER, 16, 16.0)


if __name__ == "__main__":
    main()
