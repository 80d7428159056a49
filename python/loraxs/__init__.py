"""LoRA-XS adapters: train, open, combine, merge, export, predict. The engine is loraxs' C++ library; tensors are torch's.

>>> import loraxs
>>> run = loraxs.train("recipe.yaml", progress=print)
>>> model = loraxs.Model("models/minilm")
>>> adapter = model.open(run.jobs[0].adapter)
>>> loraxs.predict(adapter, ["a sentence"])
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch  # before _native: the extension uses the libtorch that this loads

if not torch.__version__.startswith("2.13."):
    raise ImportError(f"loraxs is built with torch 2.13, found torch {torch.__version__}")

from ._native import (
    Adapter,
    Bank,
    Basis,
    Error,
    Model,
    _adapters_in,
    _Fleet,
    _FleetBase,
    _Generator,
    _Predictor,
    _Recipe,
    _store_get,
    _store_put,
    _train,
    _train_rows,
)

__version__ = "0.1.0"
__all__ = ["Adapter", "Answer", "Bank", "Basis", "Error", "Fleet", "Generation", "Generator", "Job", "MergeCheck", "Model", "Prediction", "Predictor", "Run", "TokenLogprob", "combine", "generate", "merge", "open_bank", "predict", "store_get", "store_list", "store_put", "train", "train_fleet"]  # fmt: skip

PathLike = str | os.PathLike[str]
Text = str | tuple[str, str]  # a text or a pair
Event = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One trained adapter of a run."""

    name: str
    seed: int
    learning_rate: float
    head_learning_rate: float
    value: float | None  # the metric in the best epoch; None without validation data
    best_epoch: int | None
    last_loss: float  # mean over the last epoch
    adapter: Path | None  # the file of the best epoch; None where the job ended before it had one
    ended: str | None  # where and why it ended alone: a loss or gradient that is not finite


@dataclass(frozen=True)
class Run:
    """What train() leaves behind."""

    metric: str
    jobs: list[Job]
    steps: int
    trained_parameters: int  # numbers in R, without the head
    head_parameters: int
    adapter_bytes: int
    train_seconds: float


@dataclass(frozen=True)
class Prediction:
    """A label with its probability, or a score."""

    label: str  # empty for regression
    score: float  # probability of the label, or the predicted value
    scores: dict[str, float] = field(default_factory=dict)  # probability per label; empty for regression
    error: str = ""  # why there is no prediction: the outputs are not finite; the others of a call are not touched


@dataclass(frozen=True)
class MergeCheck:
    """How far merged weights are from the adapter: largest relative change of an output on random ids."""

    base_id: str  # of the merged weights
    difference: float  # merged against adapted: rounding
    effect: float  # base against adapted: what the adapter does


@dataclass(frozen=True)
class TokenLogprob:
    """A token of an answer, with the most probable ones in its place."""

    id: int
    text: str
    logprob: float  # of the model's own distribution, before penalties and filters
    top: list[TokenLogprob] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """One answer to a prompt."""

    text: str  # up to the stop string
    tokens: int
    finish_reason: str  # stop, length, error
    error: str = ""  # the sentence of "error": the other prompts of a call are not touched
    score: float = 0.0  # beams: mean log-probability under the length penalty
    logprobs: list[TokenLogprob] = field(default_factory=list)


@dataclass(frozen=True)
class Generation(Answer):
    """The first answer to a prompt; `answers` has all `n`."""

    answers: list[Answer] = field(default_factory=list)


class Generator:
    """A decoder with tokenizer, chat template and cache, prepared once for many calls; adapters come with each call.

    `model` is a Hugging Face folder or a GGUF file. `precision` as of `loraxs generate`: auto is int8 for files of
    quantised blocks. Threads may share it: calls wait for each other.
    """

    def __init__(
        self,
        model: PathLike | Model,
        precision: str = "auto",
        context: int = 0,
        cache: PathLike = "",
        log: Callable[[str], None] | None = None,
    ) -> None:
        folder = model.folder if isinstance(model, Model) else model
        self._native = _Generator(os.fspath(folder), precision, context, cache, log)

    @property
    def precision(self) -> str:
        """float32, bfloat16 or int8: what `auto` became."""
        return self._native.precision

    @property
    def context(self) -> int:
        """Tokens of prompt and answer at most."""
        return self._native.context

    def generate(
        self,
        prompts: Iterable[str | Sequence[Mapping[str, Any]]],
        adapter: PathLike | Sequence[PathLike | None] | None = None,
        *,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        seed: int = 0,
        n: int = 1,
        num_beams: int = 1,
        stop: str | Sequence[str] = (),
        ignore_eos: bool = False,
        logprobs: int | None = None,
        batch: int = 16,
        on_text: Callable[[int, int, str], object] | None = None,
    ) -> list[Generation]:
        """One Generation per prompt, in order: the text that `loraxs generate` gives, in any company.

        A prompt is a text, or a conversation: a list of messages, which the model's chat template renders. `adapter` is
        a file, a reference into a store or a sum of them, for all prompts, or a list with one (or None) for each; they
        share the batch. `on_text(prompt, answer, piece)` hears pieces as they come (not of beams); what it raises, and
        Ctrl-C, ends the call.
        """
        if isinstance(prompts, str):
            raise Error("prompts: expected a list of texts or conversations, found one string")
        asked = [(one, False) if isinstance(one, str) else (json.dumps(list(one)), True) for one in prompts]
        single = adapter is None or isinstance(adapter, str | os.PathLike)
        names = [adapter] * len(asked) if single else list(adapter)
        if len(names) != len(asked):
            raise Error(f"adapter: expected one for each of {len(asked)} prompts, found {len(names)}")
        files = ["" if name is None else os.fspath(name) for name in names]
        found = self._native.generate(
            asked,
            files,
            files[0] if single and files else "",
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            frequency_penalty=frequency_penalty,
            presence_penalty=presence_penalty,
            seed=seed,
            n=n,
            num_beams=num_beams,
            stop=[stop] if isinstance(stop, str) else list(stop),
            ignore_eos=ignore_eos,
            logprobs=-1 if logprobs is None else logprobs,
            batch=batch,
            on_text=on_text,
        )
        generations = []
        for of_prompt in found:
            answers = [
                Answer(*one[:5], [TokenLogprob(*token, [TokenLogprob(*t) for t in top]) for token, top in one[5]])
                for one in of_prompt
            ]
            generations.append(Generation(**vars(answers[0]), answers=answers))
        return generations


def generate(
    model: PathLike | Model, prompts: Iterable[str | Sequence[Mapping[str, Any]]], *args: Any, **options: Any
) -> list[Generation]:
    """Generator(model).generate(prompts, …). For many calls keep a Generator."""
    return Generator(model).generate(prompts, *args, **options)


class Predictor:
    """An adapter with its head, prepared once for many calls. Raises Error when the adapter has no head.

    Threads may share it: calls wait for each other. Threads with a Predictor each run at the same time.
    """

    def __init__(self, adapter: Adapter, precision: str = "auto") -> None:
        self._native = _Predictor(adapter, precision)

    def use(self, adapter: Adapter) -> None:
        """Another adapter of the same base and basis from the next call on, at the cost of its row.

        Raises Error, changing nothing, when it needs more of the base than the first. Not beside calls of other threads.
        """
        self._native.use(adapter)

    @property
    def labels(self) -> list[str]:
        """Class names in the order of logits; empty for regression."""
        return self._native.labels

    def predict(self, texts: Iterable[Text]) -> list[Prediction]:
        """One prediction per text or pair, in order."""
        labels = self.labels
        return [
            Prediction(label, score, dict(zip(labels, scores, strict=True)) if scores else {}, error)
            for label, score, scores, error in self._native.predict(_texts(texts))
        ]

    def logits(self, texts: Iterable[Text]) -> torch.Tensor:
        """[texts, outputs] float32."""
        return self._native.logits(_texts(texts))


def predict(adapter: Adapter, texts: Iterable[Text], precision: str = "auto") -> list[Prediction]:
    """Labels of texts or pairs. For many calls keep a Predictor."""
    return Predictor(adapter, precision).predict(texts)


def open_bank(model: Model, adapters: PathLike | Sequence[PathLike], basis: PathLike = "") -> Bank:
    """The adapter files of a folder (sorted by name), or a list of files, as one bank: a row each.

    They must have one layout; raises Error naming the first that differs.
    """
    files = (
        _adapters_in(adapters) if isinstance(adapters, str | os.PathLike) else [os.fspath(path) for path in adapters]
    )
    return model._open_bank(files, basis)


def combine(expression: str, model: Model, out: PathLike, head: str = "auto") -> Adapter:
    """Write the sum "0.7*a.safetensors + 0.3*b.safetensors" to `out` and open it.

    `head` is auto, none or the name of the adapter whose head is kept.
    """
    model._combine(expression, head, out)
    return model.open(out)


def store_put(reference: str, file: PathLike, keep: int = 0) -> int:
    """Put an adapter file into a store, "lmdb:///data/store#anna/support" -> its version. Durable when it returns.

    `keep` > 0: older versions than so many go. What is the newest already adds nothing.
    """
    return _store_put(reference, file, keep)


def store_get(reference: str, out: PathLike) -> Path:
    """Write an adapter of a store, "URL#tenant/name[@version]", as a file."""
    _store_get(reference, out)
    return Path(out)


def store_list(place: str) -> list[str]:
    """References of the adapters of "URL", "URL#tenant/" or "URL#tenant/begin*", by name."""
    return _adapters_in(place)


def merge(adapter: Adapter, out: PathLike) -> MergeCheck:
    """Write the base model with the adapter merged in as a Hugging Face folder."""
    return MergeCheck(*adapter._merge(out))


def train(
    recipe: PathLike | Mapping[str, Any],
    *,
    set: Sequence[str] = (),
    progress: Callable[[Event], None] | None = None,
    resume: bool = False,
    allow_drift: bool = False,
    cache: PathLike = "",
) -> Run:
    """Train the adapters of a recipe: a YAML file, or the same as a dict.

    In a dict `task.train` and `task.validation` may be lists of (text, label) or (first, second, label) instead of files.
    `set` overrides keys of a file: "train.epochs=3". `progress` gets a dict per step, epoch and job that ended alone. Ctrl-C, or an exception
    from `progress`, saves the state before it is raised; `resume=True` continues with the same bits.
    """
    if isinstance(recipe, Mapping):
        if set:
            raise ValueError("set: expected a recipe file to override, found a dict; change the dict")
        content, rows = _split_rows(recipe)
        parsed, where = _Recipe.parse(json.dumps(content, default=os.fspath), "recipe"), "recipe"
    else:
        rows, where = None, os.fspath(recipe)
        parsed = _Recipe.read(recipe, list(set))
    if rows is None:
        done = _train(parsed, where, progress, resume, allow_drift, cache)
    else:
        done = _train_rows(parsed, where, progress, resume, allow_drift, cache, *rows)
    return Run(**{**done, "jobs": [Job(**job) for job in done["jobs"]]})


class Fleet:
    """Many users' adapters in one process, a round at a time: each step() is one optimizer step of every job in training.

    `recipe` as in train(), with a section `fleet`. `jobs` (a file, a folder, or dicts, which are written beside the run's
    folder) and `store` go before what that section says. `base`: that of a fleet which has ended, of the same model, method, head, task and
    precision, is taken over, prepared as it is. Belongs to one thread.
    """

    def __init__(
        self,
        recipe: PathLike | Mapping[str, Any],
        *,
        jobs: PathLike | Iterable[Mapping[str, Any]] | None = None,
        store: PathLike | None = None,
        set: Sequence[str] = (),
        resume: bool = False,
        allow_drift: bool = False,
        cache: PathLike = "",
        base: _FleetBase | None = None,
    ) -> None:
        if isinstance(recipe, Mapping):
            if set:
                raise ValueError("set: expected a recipe file to override, found a dict; change the dict")
            content = dict(recipe)
            section = dict(content.get("fleet") or {})
            if jobs is not None and not isinstance(jobs, str | os.PathLike):
                jobs = _write_jobs(jobs, f"{os.fspath(content.get('output', 'fleet'))}.jobs.jsonl")
            given = {"jobs": jobs, "store": store}
            content["fleet"] = section | {key: os.fspath(value) for key, value in given.items() if value is not None}
            parsed, where = _Recipe.parse(json.dumps(content, default=os.fspath), "recipe"), "recipe"
        else:
            where = os.fspath(recipe)
            if jobs is not None and not isinstance(jobs, str | os.PathLike):
                jobs = _write_jobs(jobs, f"{where}.jobs.jsonl")
            given = {"fleet.jobs": jobs, "fleet.store": store}
            more = [f"{key}={json.dumps(os.fspath(value))}" for key, value in given.items() if value is not None]
            parsed = _Recipe.read(recipe, [*set, *more])
        self._native = _Fleet(parsed, where, resume, allow_drift, cache, base)
        self.failures: list[dict[str, str]] = []  # of each failed job: tenant, name, where, error

    def step(self) -> bool:
        """One round. False: all jobs have ended, and their adapters are in the store."""
        going_on = self._native.step()
        self.failures += self._native.take_failures()
        return going_on

    def save(self) -> None:
        """Write the state, from which `resume=True` goes on, and hand finished adapters to the store."""
        self._native.save()

    @property
    def base(self) -> _FleetBase:
        """The model, its basis and its prepared weights, for the next fleet of this recipe's base."""
        return self._native.base()

    @property
    def counts(self) -> dict[str, Any]:
        """jobs, done, kept, failed, active, waiting, rounds, steps, sentences, tokens, seconds."""
        return self._native.counts()

    def finish(self) -> dict[str, Any]:
        """Counts, rates and the spread of scores over jobs; writes result.json."""
        return json.loads(self._native.finish())


def train_fleet(
    recipe: PathLike | Mapping[str, Any],
    *,
    jobs: PathLike | Iterable[Mapping[str, Any]] | None = None,
    store: PathLike | None = None,
    set: Sequence[str] = (),
    progress: Callable[[Event], None] | None = None,
    resume: bool = False,
    allow_drift: bool = False,
    cache: PathLike = "",
) -> dict[str, Any]:
    """Train many users' adapters into a store: see Fleet.

    `progress` gets the counts after every round. Ctrl-C, or an exception from `progress`, saves the state before it is
    raised. Returns counts, rates and the spread of scores; a job that failed stands in `failures` with its sentence.
    """
    fleet = Fleet(recipe, jobs=jobs, store=store, set=set, resume=resume, allow_drift=allow_drift, cache=cache)
    try:
        while fleet.step():
            if progress is not None:
                progress(fleet.counts)
    except Error:
        raise  # the engine has saved
    except BaseException:
        fleet.save()
        raise
    return fleet.finish() | {"failures": fleet.failures}


def _write_jobs(jobs: Iterable[Mapping[str, Any]], path: str) -> str:
    """Jobs at hand as a file with a line each, which a resumed fleet finds again."""
    text = "".join(json.dumps(job, default=os.fspath) + "\n" for job in jobs)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return path


def _texts(texts: Iterable[Text]) -> list[Text]:
    if isinstance(texts, str):
        raise Error("texts: expected a list of texts, found one string")
    return list(texts)


def _split_rows(recipe: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Any, ...] | None]:
    """A recipe with rows in memory as (recipe without them, (labels, metric, train, validation)); None: files."""
    task = dict(recipe.get("task") or {})
    if isinstance(task.get("train"), str | os.PathLike | None):
        return dict(recipe), None
    kind = task.get("name", "classification")
    if kind not in ("classification", "regression"):
        raise Error(f"recipe: task.name: expected classification or regression for rows in memory, found {kind}")
    rows = {part: list(task.pop(part, ())) for part in ("train", "validation")}
    for part, examples in rows.items():
        for index, row in enumerate(examples):
            if len(row) not in (2, 3) or not all(isinstance(text, str) for text in row[:-1]):
                raise Error(
                    f"recipe: task.{part}[{index}]: expected (text, label) or (first, second, label), found {row!r}"
                )
    labels = list(task.get("labels", ()))
    if kind == "classification":
        labels = labels or sorted({str(row[-1]) for row in rows["train"]})
        if len(labels) < 2:
            raise Error(f"recipe: task.labels: expected at least two distinct labels, found {labels}")
    position = {label: float(index) for index, label in enumerate(labels)}

    def encoded(part: str) -> list[tuple[str, str | None, float]]:
        result = []
        for index, (*texts, label) in enumerate(rows[part]):
            target = position.get(str(label)) if labels else float(label)
            if target is None:
                raise Error(f"recipe: task.{part}[{index}]: expected a label of {', '.join(labels)}, found {label}")
            result.append((texts[0], texts[1] if len(texts) == 2 else None, target))
        return result

    metric = task.get("metric", "accuracy" if labels else "pearson")
    kept = {"name": kind, "labels": labels, "metric": metric}
    return {**recipe, "task": kept}, (labels, metric, encoded("train"), encoded("validation"))
