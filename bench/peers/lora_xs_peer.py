"""LoRA-XS on transformers + PEFT, written after the paper: PEFT's LoRA with A = Σ_r U_rᵀ and B = V_r frozen and an r×r R between."""

import torch
from peft import LoraConfig, get_peft_model


class WithR(torch.nn.Module):
    """lora_A followed by R: PEFT then computes scale · lora_B(R(lora_A(x)))."""

    def __init__(self, lora_a: torch.nn.Linear, r: torch.Tensor):
        super().__init__()
        self.lora_a = lora_a
        self.r = torch.nn.Parameter(r)

    @property
    def weight(self) -> torch.Tensor:  # PEFT reads lora_A.weight.dtype
        return self.lora_a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(self.lora_a(x), self.r)


def add_lora_xs(model, targets, rank: int, alpha: float, seed: int, std: float = 1e-5, task_type="SEQ_CLS"):
    """Wraps `model` (a sequence classifier, or a decoder with task_type CAUSAL_LM); only the R matrices and a classifier are trained."""
    model = get_peft_model(
        model, LoraConfig(task_type=task_type, r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=targets)
    )
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if not hasattr(module, "lora_A") or "default" not in getattr(module, "lora_A", {}):
            continue
        weight = module.get_base_layer().weight.detach()
        u, s, vh = torch.linalg.svd(weight.float(), full_matrices=False)
        with torch.no_grad():
            module.lora_A["default"].weight.copy_(s[:rank, None] * vh[:rank])
            module.lora_B["default"].weight.copy_(u[:, :rank])
        r = std * torch.randn(rank, rank, generator=generator)
        r = r.to(module.lora_A["default"].weight.dtype)  # PEFT keeps adapters of a bfloat16 base in float32
        module.lora_A["default"] = WithR(module.lora_A["default"], r)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.endswith("lora_A.default.r") or "classifier.modules_to_save" in name)
    return model
