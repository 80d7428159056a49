"""Fleets and batch inference over the nodes of a Ray cluster: `pip install loraxs[ray]`, and docs/cluster.md.

>>> import loraxs.ray
>>> done = loraxs.ray.train_fleet("users.jsonl", store="postgresql://db/adapters", model="models/minilm", task={"name": "classification"})
>>> loraxs.ray.predict(lines, store="postgresql://db/adapters", model="models/minilm")
"""

try:
    import ray  # noqa: F401
except ImportError:
    raise ImportError("loraxs.ray: expected the package ray, found none; pip install loraxs[ray]") from None

from .inference import predict
from .training import train_fleet

__all__ = ["predict", "train_fleet"]
