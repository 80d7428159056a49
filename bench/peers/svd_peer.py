"""scikit-learn's TruncatedSVD (n_iter 10, as the reference code) and a full float64 SVD beside `loraxs basis`: seconds for
MiniLM's 24 adapted projections at r = 25. One JSON line per contender, ratios last."""

import json
import subprocess
import tempfile
import time

import torch
from safetensors.torch import load_file
from sklearn.decomposition import TruncatedSVD

RANK = 25


def main() -> None:
    weights = load_file("models/minilm/model.safetensors")
    suffixes = ("attention.self.query.weight", "attention.self.value.weight", "output.dense.weight")
    matrices = [w.numpy() for name, w in weights.items() if name.startswith("encoder.") and name.endswith(suffixes)]
    seconds = {}
    for _ in range(2):  # the second round counts: libraries are warm then
        begin = time.perf_counter()
        for matrix in matrices:
            TruncatedSVD(RANK, n_iter=10, random_state=42).fit(matrix.T)
        seconds["scikit-learn TruncatedSVD"] = time.perf_counter() - begin
    begin = time.perf_counter()
    for matrix in matrices:
        torch.linalg.svd(torch.from_numpy(matrix).double(), full_matrices=False)
    seconds["full float64 SVD"] = time.perf_counter() - begin
    with tempfile.TemporaryDirectory() as folder:
        command = ["build/loraxs", "basis", "--model", "models/minilm", "--rank", str(RANK), "--out", f"{folder}/b.safetensors", "-q", "--json"]  # fmt: skip
        ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    seconds["loraxs basis"] = ours["seconds"]
    for name, value in seconds.items():
        line = {"contender": name, "seconds": value, "matrices": len(matrices), "rank": RANK}
        if name == "loraxs basis":
            line["largest_residual"] = ours["largest_residual"]
        print(json.dumps(line))
    print(
        json.dumps(
            {
                "ratio": "loraxs basis / scikit-learn",
                "value": seconds["loraxs basis"] / seconds["scikit-learn TruncatedSVD"],
            }
        )
    )


if __name__ == "__main__":
    main()
