"""scikit-learn's TruncatedSVD (n_iter 10, as the reference code) and a full float64 SVD beside `loraxs basis` at r = 25:
MiniLM's 24 adapted projections, and 24 of 1024² with a slowly decaying spectrum, σ_i ∝ i^-0.35. One JSON line per
contender, ratios last."""

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable

import torch
from safetensors.torch import load_file
from sklearn.decomposition import TruncatedSVD
from transformers import BertConfig, BertForSequenceClassification

RANK = 25
ROUNDS = 3
PAPER = ("attention.self.query.weight", "attention.self.value.weight", "output.dense.weight")


def make_wide_model(folder: str) -> None:
    """A BERT of 12 layers whose query and value are 1024² of the given spectrum."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=64, hidden_size=1024, num_hidden_layers=12, num_attention_heads=16, intermediate_size=64)  # fmt: skip
    model = BertForSequenceClassification(config)
    sigma = torch.arange(1, 1025, dtype=torch.float64) ** -0.35
    for name, parameter in model.named_parameters():
        if name.endswith(("query.weight", "value.weight")):
            u, v = (torch.linalg.qr(torch.randn(1024, 1024, dtype=torch.float64))[0] for _ in range(2))
            parameter.data.copy_(u * sigma @ v)
    model.save_pretrained(folder)


def seconds_of(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def compare(case: str, model: str, suffixes: tuple[str, ...], targets: list[str]) -> dict[str, float]:
    weights = load_file(f"{model}/model.safetensors")
    matrices = [w.numpy() for name, w in weights.items() if "encoder." in name and name.endswith(suffixes)]
    residual = 0.0

    def ours() -> float:
        nonlocal residual
        with tempfile.TemporaryDirectory() as folder:
            command = ["build/loraxs", "basis", "--model", model, "--rank", str(RANK), *targets, "--out", f"{folder}/b.safetensors", "-q", "--json"]  # fmt: skip
            result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        residual = result["largest_residual"]
        return result["seconds"]

    contenders = {
        "loraxs basis": ours,
        "scikit-learn TruncatedSVD": lambda: seconds_of(
            lambda: [TruncatedSVD(RANK, n_iter=10, random_state=42).fit(m.T) for m in matrices]
        ),
        "full float64 SVD": lambda: seconds_of(
            lambda: [torch.linalg.svd(torch.from_numpy(m).double(), full_matrices=False) for m in matrices]
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            seconds[name].append(run())
    medians = {name: statistics.median(runs) for name, runs in seconds.items()}
    for name, runs in seconds.items():
        line = {"case": case, "contender": name, "seconds": medians[name], "rounds": runs, "matrices": len(matrices), "rank": RANK}  # fmt: skip
        print(json.dumps(line | ({"largest_residual": residual} if name == "loraxs basis" else {})))
    return medians


def main() -> None:
    cases = {"minilm": compare("minilm", "models/minilm", PAPER, [])}
    with tempfile.TemporaryDirectory() as folder:
        make_wide_model(folder)
        cases["1024²"] = compare("1024²", folder, PAPER[:2], ["--targets", "query,value"])
    for case, medians in cases.items():
        ratio = medians["loraxs basis"] / medians["scikit-learn TruncatedSVD"]
        print(json.dumps({"ratio": "loraxs basis / scikit-learn", "case": case, "value": ratio}, ensure_ascii=False))


if __name__ == "__main__":
    main()
