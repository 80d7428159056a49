"""A LoRA-XS layer of its own, for the oracles: y = x Wᵀ + bias + scale · x aᵀ Rᵀ bᵀ, R drawn large (0.3)."""

import torch


class LoraXs(torch.nn.Module):
    def __init__(self, linear, rank, scale, generator):
        super().__init__()
        self.linear = linear
        self.scale = scale
        weight = linear.weight.detach().double()
        u, s, vh = torch.linalg.svd(weight, full_matrices=False)
        self.register_buffer("a", (s[:rank, None] * vh[:rank]).float().to(linear.weight.dtype))
        self.register_buffer("b", u[:, :rank].float().to(linear.weight.dtype))
        r = 0.3 * torch.randn(rank, rank, generator=generator)
        self.r = torch.nn.Parameter(r.to(linear.weight.dtype))

    def forward(self, x):
        return self.linear(x) + self.scale * (x @ self.a.T @ self.r.T @ self.b.T)


def round_from(sites, tensors):
    """a, b and R of a bfloat16 model from the float32 one's: the basis of rounded weights would be another."""
    with torch.no_grad():
        for site, module in sites.items():
            for part, name in ((module.a, f"basis.{site}.a"), (module.b, f"basis.{site}.b"), (module.r, f"r.{site}")):
                part.copy_(tensors[name])


def adapt_layers(layers, modules, targets, rank, alpha, seed):
    """Replaces the targets of each layer by LoraXs; returns {canonical name: module} in canonical order."""
    generator = torch.Generator().manual_seed(seed)
    sites = {}
    for number, layer in enumerate(layers):
        for name in targets:
            parent, _, leaf = modules[name].rpartition(".")
            parent = layer.get_submodule(parent)
            module = LoraXs(getattr(parent, leaf), rank, alpha / rank, generator)
            setattr(parent, leaf, module)
            sites[f"layers.{number}.{name}"] = module
    return sites
