"""The nodes of the cluster that Ray has joined."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import Any

import ray


@dataclass(frozen=True)
class Node:
    """A node that is alive and computes."""

    id: str
    host: str
    cpus: int

    @property
    def name(self) -> str:
        return f"node {self.host} ({self.id[:8]})"


def join_cluster() -> None:
    """The cluster of RAY_ADDRESS, or this machine as a cluster of its own, unless the caller has called ray.init."""
    if not ray.is_initialized():
        ray.init(logging_level="warning")


def alive_nodes() -> list[Node]:
    found = [(node, int(node["Resources"].get("CPU", 0))) for node in ray.nodes() if node["Alive"]]
    return [Node(node["NodeID"], node["NodeManagerHostname"], cpus) for node, cpus in found if cpus > 0]


def place_marker(store: str, hosts: set[str]) -> str:
    """A file in a folder that is to be the store of several hosts, by which they see whether they share it; empty: none."""
    if "://" in store or not hosts - {platform.node()}:
        return ""
    os.makedirs(store, exist_ok=True)
    marker = os.path.join(store, f".shared-{os.getpid()}-{os.urandom(4).hex()}")
    with open(marker, "w"):
        pass
    return marker


def actor_options(node: Node, cpus: int | None) -> dict[str, Any]:
    """All of a node for one actor, which Ray does not start elsewhere."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {
        "num_cpus": cpus or node.cpus,
        "max_restarts": 0,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id=node.id, soft=False),
    }
