"""PEFT's own methods on the tiny encoder and decoder of make_encoders.py and make_decoders.py: usage make_methods.py OUT_DIR.

Per family and method a file methods/FAMILY_METHOD.safetensors: the method's tensors drawn large (`part.NAME`, named as in our
layouts), logits, loss and gradients in float32 and float64, and 20 AdamW steps. Full fine-tuning is plain PyTorch, Tied-LoRA,
which PEFT lacks, a formula of a few lines.
"""

import sys
from pathlib import Path

import make_decoders as decoders
import make_encoders as encoders
import peft
import torch
import trajectory
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification

RANK, ALPHA, STEPS, BATCH = 4, 4.0, 20, 4
ADALORA = {"target_r": 2, "tinit": 3, "tfinal": 5, "deltaT": 2, "beta1": 0.8, "beta2": 0.7, "orth_reg_weight": 0.3}


class Encoder:
    folder, targets = "tiny_all_linear", ["query", "value", "mlp_output"]
    modules = encoders.BERT_MODULES
    layers = "bert.encoder.layer"
    random_sequences = staticmethod(lambda lengths, seed: encoders.random_sequences(Encoder.config, lengths, seed))
    packed = staticmethod(encoders.packed)
    logits = staticmethod(encoders.logits_of)

    @staticmethod
    def load(folder, dtype):
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        Encoder.config = model.config
        return model.to(dtype)

    @staticmethod
    def loss(model, sequences, labels):
        return encoders.loss_of(encoders.logits_of(model, sequences), labels)


class Decoder:
    folder, targets = "tiny_llama", ["query", "value", "down"]
    modules = decoders.MODULES
    layers = "model.layers"
    random_sequences = staticmethod(lambda lengths, seed: decoders.random_sequences(97, lengths, seed))
    packed = staticmethod(decoders.packed)
    logits = staticmethod(decoders.logits_of)
    load = staticmethod(decoders.load)

    @staticmethod
    def loss(model, sequences, labels):
        return decoders.loss_of(model, sequences)


class TiedLinear(torch.nn.Module):
    """y = x Wᵀ + bias + s · (x aᵀ ∘ d) bᵀ ∘ g with a, b of all layers."""

    def __init__(self, linear, a, b, scale):
        super().__init__()
        self.linear, self.a, self.b, self.scale = linear, a, b, scale
        self.d = torch.nn.Parameter(torch.ones(len(a)))
        self.g = torch.nn.Parameter(torch.ones(len(b)))

    def forward(self, x):
        return self.linear(x) + self.scale * ((x @ self.a.T * self.d) @ self.b.T) * self.g


def peft_config(family, method, names):
    common = {"target_modules": names}
    lora = common | {"r": RANK, "lora_alpha": ALPHA}
    return {
        "lora": lambda: peft.LoraConfig(**lora),
        "rslora": lambda: peft.LoraConfig(**lora, use_rslora=True),
        "pissa": lambda: peft.LoraConfig(**lora, init_lora_weights="pissa"),
        "vera": lambda: peft.VeraConfig(**common, r=RANK, projection_prng_key=3),
        "adalora": lambda: peft.AdaLoraConfig(**common, init_r=RANK, lora_alpha=ALPHA, total_step=STEPS, **ADALORA),
        "tiny_lora": lambda: peft.TinyLoraConfig(**common, r=RANK, u=7, projection_seed=11),
    }[method]()


def adapt(family, folder, method, dtype):
    """The adapted model, its trained tensors under our names, and the frozen pairs that are not to be computed anew."""
    torch.manual_seed(1)  # PEFT draws starts that both precisions share
    model = family.load(folder, dtype).float()  # as PEFT is given it: widened below
    model.requires_grad_(False)
    sites = {}
    for number, layer in enumerate(model.get_submodule(family.layers)):
        for name in family.targets:
            sites[f"layers.{number}.{name}"] = (layer, family.modules[name])
    parts, pairs = {}, {}
    if method == "full":
        for site, (layer, path) in sites.items():
            for kind, parameter in layer.get_submodule(path).named_parameters():
                parts[f"{site}.{kind}"] = parameter.requires_grad_(True)
    elif method == "tied_lora":
        shared = torch.nn.ParameterDict()
        for site, (layer, path) in sites.items():
            name, (parent, _, leaf) = site.split(".")[2], path.rpartition(".")
            linear = layer.get_submodule(path)
            if f"{name}_a" not in shared:
                parts[f"shared.{name}.a"] = shared[f"{name}_a"] = torch.nn.Parameter(
                    torch.zeros(RANK, linear.in_features)
                )
                parts[f"shared.{name}.b"] = shared[f"{name}_b"] = torch.nn.Parameter(
                    torch.zeros(linear.out_features, RANK)
                )
            tied = TiedLinear(linear, shared[f"{name}_a"], shared[f"{name}_b"], ALPHA / RANK)
            setattr(layer.get_submodule(parent), leaf, tied)
            parts[f"{site}.d"], parts[f"{site}.g"] = tied.d, tied.g
    else:
        number_of_layers = len(model.get_submodule(family.layers))
        names = [f"{family.layers}.{n}.{family.modules[t]}" for n in range(number_of_layers) for t in family.targets]
        model = peft.get_peft_model(model, peft_config(family, method, names)).eval()
        inner = model.base_model.model
        for number, layer in enumerate(inner.get_submodule(family.layers)):
            for name in family.targets:
                module, site = layer.get_submodule(family.modules[name]), f"layers.{number}.{name}"
                if method == "vera":
                    parts[f"{site}.d"] = module.vera_lambda_d["default"]
                    parts[f"{site}.g"] = module.vera_lambda_b["default"]
                elif method == "tiny_lora":
                    parts[f"{site}.v"] = model.base_model.tinylora_v["default"][module._tinylora_v_key["default"]]
                    root = module.tinylora_A["default"].norm(dim=1)  # √Σ: ours stands on a alone
                    pairs[f"basis.{site}.a"] = root[:, None] * module.tinylora_A["default"]
                    pairs[f"basis.{site}.b"] = module.tinylora_B["default"] / root
                elif method == "adalora":
                    parts[f"{site}.a"], parts[f"{site}.b"] = module.lora_A["default"], module.lora_B["default"]
                    parts[f"{site}.d"] = module.lora_E["default"]
                else:
                    parts[f"{site}.a"] = module.lora_A["default"].weight
                    parts[f"{site}.b"] = module.lora_B["default"].weight
                if method == "pissa":
                    pairs[f"basis.{site}.a"] = parts[f"{site}.a"].detach() * (
                        ALPHA / RANK
                    )  # what PEFT takes off the base
                    pairs[f"basis.{site}.b"] = parts[f"{site}.b"].detach().clone()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, part in parts.items():
            noise = 0.3 * torch.randn(part.shape, generator=generator)
            part.add_(noise * 0.1 if method in ("full", "pissa") else noise)
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert count == sum(p.numel() for p in parts.values())  # what PEFT trains is what we compare
    for name in list(parts):  # .to keeps the Parameter objects
        parts[name].requires_grad_(True)
    return model.to(dtype), parts, pairs


def penalty_of(model, sequences):
    """PEFT adds AdaLoRA's penalty to the loss that its model returns."""
    ids = sequences[0][0][None]
    labels = ids if hasattr(model.base_model.model, "lm_head") else torch.zeros(1, dtype=torch.long)
    return (
        model.base_model(input_ids=ids, labels=labels).loss - model.base_model.model(input_ids=ids, labels=labels).loss
    )


def write(out, family, method):
    tensors = {}
    folder = out / family.folder
    family.load(folder, torch.float32)
    sequences = family.random_sequences([7, 3, 30, 40, 12, 2, 19], seed=3)
    labels = torch.arange(len(sequences)) % 3
    tensors |= family.packed(sequences) | {"labels": labels.float()}
    generator = torch.Generator().manual_seed(11)
    order = torch.stack([torch.randperm(len(sequences), generator=generator)[:BATCH] for _ in range(STEPS)])
    tensors["batches"] = order.int()
    for suffix, dtype in (("", torch.float32), ("64", torch.float64)):
        model, parts, pairs = adapt(family, folder, method, dtype)
        if not suffix:
            tensors |= {f"part.{name}": part.detach().clone() for name, part in parts.items()} | pairs
        with torch.no_grad():
            tensors["plain_logits" + suffix] = family.logits(family.load(folder, dtype), sequences)
            tensors["logits" + suffix] = family.logits(model, sequences)
        loss = family.loss(model, sequences, labels)
        loss.backward()
        tensors["loss" + suffix] = loss.detach()
        for name, part in parts.items():
            tensors[f"grad{suffix}.{name}"] = part.grad.clone()

    def run(dtype, order, number=0):
        model, parts, _ = adapt(family, folder, method, dtype)
        trajectory.shake(model, number)
        optimizer = torch.optim.AdamW(parts.values(), lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
        losses, rows = [], []
        for step, indices in enumerate(order, start=1):
            optimizer.zero_grad()
            indices = trajectory.rotated(indices, number)
            chosen = [sequences[i] for i in indices]
            loss = family.loss(model, chosen, labels[indices])
            if method == "adalora":
                loss = loss + penalty_of(model, chosen)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parts.values(), 1.0)
            optimizer.step()
            if method == "adalora":
                model.base_model.update_and_allocate(step)
            losses.append(loss.item())
            rows.append(torch.cat([part.detach().reshape(-1) for part in parts.values()]).double())
        return losses, rows

    exact = run(torch.float64, order)
    rounded = [run(torch.float32, order[: STEPS // 2], number) for number in range(trajectory.RUNS)]
    tensors |= trajectory.spread(exact, rounded)
    tensors |= {"losses64": torch.tensor(exact[0], dtype=torch.float64), "rows64": torch.stack(exact[1])}
    metadata = {"base": family.folder, "method": method, "targets": ",".join(family.targets), "names": ",".join(parts)}
    metadata |= {"rank": str(RANK), "alpha": str(ALPHA), "count": str(sum(p.numel() for p in parts.values()))}
    save_file({k: v.contiguous() for k, v in tensors.items()}, out / "methods" / f"{family.folder}_{method}.safetensors", metadata=metadata)  # fmt: skip


def write_dropout(out):
    """PEFT's LoRA in training: mean and variance of a layer's outputs over its masks."""
    draws, scale, p = 40_000, 2.0, 0.3
    torch.manual_seed(5)
    base = torch.nn.Sequential(torch.nn.Linear(8, 6))
    model = peft.get_peft_model(base, peft.LoraConfig(r=3, lora_alpha=6, lora_dropout=p, target_modules=["0"])).train()
    layer = model.base_model.model[0]
    a, b, x = layer.lora_A["default"].weight, layer.lora_B["default"].weight, torch.randn(4, 8)
    with torch.no_grad():
        for weight in (a, b):
            weight.copy_(0.5 * torch.randn_like(weight))
        outputs = torch.stack([layer(x) for _ in range(draws)]).double()
        tensors = {"x": x, "a": a, "b": b, "weight": layer.base_layer.weight, "bias": layer.base_layer.bias,
                   "mean": outputs.mean(0), "variance": outputs.var(0)}  # fmt: skip
    metadata = {"p": str(p), "scale": str(scale), "draws": str(draws)}
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, out / "methods" / "dropout.safetensors", metadata=metadata)  # fmt: skip


def main():
    torch.set_num_threads(1)  # tiny tensors: a second thread only waits
    out = Path(sys.argv[1])
    (out / "methods").mkdir(parents=True, exist_ok=True)
    for family in (Encoder, Decoder):
        for method in ("lora", "rslora", "pissa", "vera", "adalora", "tiny_lora", "tied_lora", "full"):
            write(out, family, method)
    write_dropout(out)


if __name__ == "__main__":
    main()
