"""A small Ray cluster on this machine, and what tests look at in it. Import before ray."""

import os
from pathlib import Path

os.environ |= {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}  # fmt: skip

import loraxs
import psutil
import ray
from ray.cluster_utils import Cluster

LIGHT = {"object_store_memory": 80 << 20}
# Deaths are seen in seconds; workers are not nice (Ray's 15), or they wait for whatever else runs here.
QUICK = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 10,
    "worker_niceness": 0,
}


class SmallCluster:
    """Nodes of so many CPUs beside a head without any; this process has joined."""

    def __init__(self, nodes: int, cpus: int = 1) -> None:
        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": QUICK, **LIGHT}
        self.cluster, self.cpus = Cluster(initialize_head=True, head_node_args=head), cpus
        self.nodes: list = []
        for _ in range(nodes):
            self.add_node()
        ray.init(address=self.cluster.address, log_to_driver=False, logging_level="critical")

    def add_node(self) -> None:
        self.nodes.append(self.cluster.add_node(num_cpus=self.cpus, **LIGHT))

    def lose_node(self) -> None:
        """One with a worker that lives, without a word."""
        busy = {actor["Address"]["NodeID"] for actor in living_workers()}
        lost = next(node for node in self.nodes if node.node_id in busy)
        self.nodes.remove(lost)
        self.cluster.remove_node(lost, allow_graceful=False)

    def close(self) -> None:
        ray.shutdown()
        self.cluster.shutdown()
        _, alive = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=10)
        assert not alive, f"expected no process of the cluster to be left, found {alive}"


def living_workers() -> list[dict]:
    """Ray's facts of the fleet's workers that live."""
    table = ray._private.state.actors().values()
    return [actor for actor in table if actor["State"] == "ALIVE" and actor["ActorClassName"] == "FleetWorker"]


def workers() -> list[int]:
    """Their process ids."""
    return [actor["Pid"] for actor in living_workers()]


def content(url: str, scratch: Path) -> dict[str, tuple[int, bytes]]:
    """Version and file of each adapter of a store."""
    references = loraxs.store_list(url)
    titles = [reference.split("#")[1] for reference in references]
    found = {}
    for title, version, reference in zip(titles, loraxs._native._store_versions(url, titles), references, strict=True):
        path = loraxs.store_get(reference, scratch / "got.safetensors")
        found[title] = (version, path.read_bytes())
        path.unlink()
    return found
