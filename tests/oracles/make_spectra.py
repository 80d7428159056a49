"""Parts of spectra by numpy's SVD in float64: usage make_spectra.py OUT_DIR.

For a wide, a tall and a square weight: U_I S_I V_I^T of the weight and U_I U_I^T D V_I V_I^T of a change D, with I the top, middle or
bottom share of the singular vectors."""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

SHARES = [0.01, 0.1, 0.5]

generator = np.random.default_rng(7)
tensors = {}
for name, shape in {"wide": (24, 40), "tall": (56, 32), "square": (36, 36)}.items():
    weight = generator.standard_normal(shape)
    delta = 0.1 * generator.standard_normal(shape)
    u, s, vt = np.linalg.svd(weight, full_matrices=False)
    tensors |= {f"{name}.weight": weight, f"{name}.delta": delta}
    for share in SHARES:
        kept = max(1, int(np.floor(share * len(s) + 0.5)))
        for part, begin in {"top": 0, "middle": (len(s) - kept) // 2, "bottom": len(s) - kept}.items():
            i = slice(begin, begin + kept)
            key = f"{name}.{part}.{share}"
            tensors[f"{key}.kept"] = u[:, i] @ np.diag(s[i]) @ vt[i]
            tensors[f"{key}.projected"] = u[:, i] @ u[:, i].T @ delta @ vt[i].T @ vt[i]
folder = Path(sys.argv[1]) / "spectra"
folder.mkdir(parents=True, exist_ok=True)
save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, folder / "spectra.safetensors")
