"""Batch inference over the nodes of a cluster, each line with its own adapter."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import ray
from ray.util import ActorPool

from .. import Adapter, Error, Model, PathLike, Prediction, Predictor
from .cluster import alive_nodes, join_cluster
from .stores import absolute_store, check_store, is_url


def predict(
    lines: Any,
    *,
    store: PathLike,
    model: PathLike,
    cache: PathLike = "",
    precision: str = "auto",
    batch_size: int = 1024,
    cpus: int | None = None,
) -> Any:
    """Labels or scores of many lines, each by its own adapter of the store.

    A line has `adapter` (tenant/name or tenant/name@version), `text`, and `text_pair` if its adapter judges pairs. -> the lines, in
    order, with `label` (empty for regression), `score` and `error` (why there is none; else empty): a list for dicts, a Dataset
    for a Ray Dataset, computed as it is read. A worker a node takes `cpus` of it (all of the smallest). Lines of one adapter that stand
    together share its batches: sort by adapter where there are many.
    """
    join_cluster()
    nodes = alive_nodes()
    if not nodes:
        raise Error("ray: expected a node with CPUs, found none")
    check_store("store", os.fspath(store), {node.host for node in nodes})
    cpus = cpus or min(node.cpus for node in nodes)
    arguments = (absolute_store(store), os.path.abspath(model), os.fspath(cache), precision, cpus)
    if hasattr(lines, "map_batches"):
        from ray.data import ActorPoolStrategy

        return lines.map_batches(
            AnswerTable,
            fn_constructor_args=arguments,
            compute=ActorPoolStrategy(size=len(nodes)),
            num_cpus=cpus,
            batch_size=batch_size,
            batch_format="numpy",
        )
    options = {"num_cpus": cpus, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": "SPREAD"}
    actors = [ray.remote(Answers).options(**options).remote(*arguments) for _ in nodes]
    try:
        pool = ActorPool(actors)
        return [
            line
            for batch in pool.map(lambda actor, batch: actor.answer.remote(batch), _batches(lines, batch_size))
            for line in _checked(batch)
        ]
    finally:
        for actor in actors:
            ray.kill(actor)


def _batches(lines: Iterable[Mapping[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    rest = iter(lines)
    while batch := [dict(line) for line in islice(rest, size)]:
        yield batch


def _checked(answer: list[dict[str, Any]] | str) -> list[dict[str, Any]]:
    if isinstance(answer, str):
        raise Error(answer)
    return answer


class Answers:
    """An actor of Ray: one base, prepared once, and whichever adapters its lines ask for."""

    def __init__(self, store: str, model: str, cache: str, precision: str, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.store, self.precision = store, precision
        self.place, self.cache = model, cache
        self.model: Model | None = None
        self.predictor: Predictor | None = None

    def answer(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]] | str:
        """The lines with label, score and error; a sentence where the model does not open."""
        try:
            self.model = self.model or Model(self.place, cache=self.cache)
        except Error as error:
            return f"node {os.uname().nodename}: {error}"
        by_adapter: dict[Any, list[int]] = {}
        for index, line in enumerate(lines):
            by_adapter.setdefault(line.get("adapter"), []).append(index)
        answers: list[dict[str, Any]] = [{} for _ in lines]
        for adapter, indices in by_adapter.items():
            for index, found in zip(indices, self.predict(adapter, [lines[i] for i in indices]), strict=True):
                answers[index] = lines[index] | {"label": found.label, "score": found.score, "error": found.error}
        return answers

    def predict(self, adapter: Any, lines: list[dict[str, Any]]) -> list[Prediction]:
        texts = [line["text"] if line.get("text_pair") is None else (line["text"], line["text_pair"]) for line in lines]
        try:
            return self.predictor_for(self.open(adapter)).predict(texts)
        except Error as error:
            return [Prediction("", 0.0, error=str(error))] * len(lines)

    def open(self, adapter: Any) -> Adapter:
        if not isinstance(adapter, str):
            raise Error(f"adapter: expected tenant/name, found {adapter!r}")
        return self.model.open(
            f"{self.store}#{adapter}" if is_url(self.store) else f"{self.store}/{adapter}.safetensors"
        )

    def predictor_for(self, adapter: Adapter) -> Predictor:
        """The base is prepared again for an adapter that needs more of it alone."""
        if self.predictor is not None:
            try:
                self.predictor.use(adapter)
                return self.predictor
            except Error:
                self.predictor = None  # one base at a time
        self.predictor = Predictor(adapter, self.precision)
        return self.predictor


class AnswerTable:
    """The same for batches of a Ray Dataset: columns in, columns out."""

    def __init__(self, *arguments: Any) -> None:
        self.answers = Answers(*arguments)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        columns = {name: values.tolist() for name, values in batch.items()}
        lines = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        found = _checked(self.answers.answer(lines))
        return {**batch, **{name: [line[name] for line in found] for name in ("label", "score", "error")}}
