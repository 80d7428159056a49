"""The users of a fleet as lines that any node can train: read, checked for names, with their starts settled."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import Error, _native
from .stores import absolute_store, check_store, is_url

MOST_NAMED = 1000  # adapters that a line's mean may name


@dataclass(slots=True)
class User:
    """One line of a fleet's jobs."""

    place: int  # among all, from 0
    where: str  # users.jsonl:3
    line: bytes  # JSON, or what a file has in its place: the engine says what is wrong
    title: str = ""  # TENANT/NAME; empty where the line has none
    start: str = ""  # as written; empty: the recipe's
    work: float = 0  # bytes of text times epochs: orders users
    limit: int = 1 << 30  # users at most that it may train beside, since a node died with it
    deaths: int = 0  # of nodes that trained it alone


def read_users(jobs: Any, epochs: float) -> list[User]:
    """Largest first. `jobs`: a .jsonl file, a .parquet file, a folder of data files, a Ray Dataset, or dicts.

    Raises Error where there are none, or a name stands twice.
    """
    users = [_read_user(place, *found, epochs) for place, found in enumerate(_records(jobs))]
    if not users:
        raise Error(f"{_name_of(jobs)}: expected jobs, found none")
    places: dict[str, str] = {}
    for user in users:
        before = places.setdefault(user.title, user.where) if user.title else user.where
        if before != user.where:
            raise Error(f"{user.where}: expected each tenant and name once, found {user.title} at {before} too")
    return sorted(users, key=lambda user: (-user.work, user.title))


def settle_starts(
    users: list[User], store: str, section: dict[str, Any], hosts: Collection[str] = frozenset()
) -> list[tuple[User, str]]:
    """Makes every start mean the same at any moment: `own` names its version, a mean its adapters.

    A node of `hosts` that trains users again, or later than others, then starts where it would have started alone. Changes
    lines, and `start` of the recipe's `section` fleet. -> users whose start no fleet can have, with the sentence.
    """
    titles = {user.title for user in users}
    common = str(section.get("start") or "fresh")
    settle = _Settler(store, titles, hosts)
    failures = []
    own = [user for user in users if (user.start or common) == "own"]
    if own and not is_url(store):
        raise Error(
            f"start: expected a store that keeps versions for own on a cluster, as a user whose node dies starts again, found the folder {store}"
        )
    for user, version in zip(
        own, _native._store_versions(store, [user.title for user in own]) if own else (), strict=True
    ):
        _set_start(user, f"own@<={version}")
    try:
        section["start"] = "fresh" if common == "own" else settle(common)  # own: each line has its version
    except Error as error:
        failures += [(user, f"{user.where}: {error}") for user in users if not user.start]
    for user in users:
        if not user.start or user.start == "own":
            continue
        try:
            start = settle(user.start, MOST_NAMED)
            if start != user.start:
                _set_start(user, start)
        except Error as error:
            failures.append((user, f"{user.where}: {error}"))
    return failures


class _Settler:
    def __init__(self, store: str, titles: set[str], hosts: Collection[str]) -> None:
        self.store, self.titles, self.hosts = store, titles, hosts
        self.known: dict[str, str] = {}
        self.stored: list[str] | None = None

    def __call__(self, start: str, most: int | None = None) -> str:
        """A start that means the same whenever it is read. Raises Error where users of this fleet are named."""
        if start not in self.known:
            self.known[start] = self.settled(start)
        if most is not None and self.known[start].count(",") >= most:
            raise Error(
                f"start: expected at most {most} adapters of a mean in a user's line, found more; say it once, as fleet.start"
            )
        return self.known[start]

    def settled(self, start: str) -> str:
        if start.startswith("mean(") and start.endswith(")"):
            names = [name for part in _parts_of(start[len("mean(") : -1]) for name in self.named(part)]
            if not names:
                raise Error(f"start: expected adapters of others to take the mean of, found none as {start[5:-1]}")
            return f"mean({', '.join(names)})"
        return self.named(start)[0]

    def named(self, part: str) -> list[str]:
        if is_url(part) or part.startswith(("/", ".")):
            return self.named_elsewhere(part)
        if not part.endswith("*"):
            if part in self.titles:
                self.refuse(part)
            return [part]
        if self.stored is None:
            self.stored = sorted(_titles_in(self.store))
        return [title for title in self.stored if title.startswith(part[:-1]) and title not in self.titles]

    def named_elsewhere(self, part: str) -> list[str]:
        """The adapters of another store, or of files, by names that hold on every node."""
        store, mark, what = part.partition("#") if is_url(part) else (part, "", "")
        store = absolute_store(store)
        check_store("start", store, self.hosts)
        place = store + mark + what
        if is_url(part):
            names = _native._adapters_in(place) if not what or what.endswith(("*", "/")) else [place]
        else:
            names = _native._adapters_in(place) if os.path.isdir(place) else [place]
        foreign = [name for name in names if self.title_of(name) not in self.titles]
        if names == [place] and not foreign:
            self.refuse(part)
        return [f'"{name}"' if "," in name else name for name in foreign]

    def title_of(self, adapter: str) -> str:
        """TENANT/NAME[@VERSION] of an adapter that lies in the fleet's own store; empty: it does not."""
        if is_url(adapter):
            store, _, title = adapter.partition("#")
            return title if store == self.store else ""
        path = Path(adapter)
        return f"{path.parent.name}/{path.stem}" if str(path.parent.parent) == self.store else ""

    @staticmethod
    def refuse(title: str) -> None:
        raise Error(
            f"start: expected an adapter that this fleet does not train, found {title}; name its version, or train it before"
        )


def _parts_of(list_: str) -> list[str]:
    """As the engine splits a mean's list: what has a comma stands in quotes."""
    found = re.findall(r"""\s*(?:"([^"]*)"|'([^']*)'|([^,]*))\s*(?:,|$)""", list_)
    return [part for part in ("".join(groups).strip() for groups in found) if part]


def _titles_in(store: str) -> Iterator[str]:
    if not is_url(store):
        yield from (
            path.relative_to(store).as_posix().removesuffix(".safetensors")
            for path in Path(store).glob("*/*.safetensors")
        )
        return
    try:
        yield from (reference.split("#", 1)[1] for reference in _native._adapters_in(store))
    except Error as error:
        if "found none of that tenant" not in str(error):
            raise


def _set_start(user: User, start: str) -> None:
    record = json.loads(user.line)
    user.line = _to_json({**record, "start": start})


def _read_user(place: int, where: str, line: bytes, record: Any, epochs: float) -> User:
    user = User(place, where, line)
    if not isinstance(record, dict):
        return user
    user.work = len(line)
    if isinstance(record.get("tenant"), str) and isinstance(record.get("name"), str):
        user.title = f"{record['tenant']}/{record['name']}"
    user.start = record["start"] if isinstance(record.get("start"), str) else ""
    if isinstance(data := record.get("data"), str):
        if not os.path.isabs(data):
            user.line = _to_json({**record, "data": os.path.abspath(data)})
        user.work = os.path.getsize(data) if os.path.exists(data) else 0
    own = record.get("epochs")
    user.work *= own if isinstance(own, int | float) else epochs
    return user


def _records(jobs: Any) -> Iterator[tuple[str, bytes, Any]]:
    """(where, line, what the line holds; None where it is no JSON)"""
    name = _name_of(jobs)
    if isinstance(jobs, str | os.PathLike):
        path = Path(jobs)
        if not path.exists():
            raise Error(f"{name}: expected a file or a folder of jobs, found nothing")
        if path.is_dir():
            yield from _dumped(_files_of(path), lambda index: name)
        elif path.suffix == ".parquet":
            yield from _dumped(_parquet_rows(path), lambda index: f"{name}: row {index + 1}")
        else:
            for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
                if line.strip():
                    yield f"{name}:{number}", line, _parsed(line)
    elif hasattr(jobs, "iter_rows"):
        yield from _dumped(map(_without_nulls, jobs.iter_rows()), lambda index: f"{name}: row {index + 1}")
    else:
        yield from _dumped(jobs, lambda index: f"{name}[{index}]")


def _name_of(jobs: Any) -> str:
    if isinstance(jobs, str | os.PathLike):
        return os.fspath(jobs)
    return "dataset" if hasattr(jobs, "iter_rows") else "jobs"


def _dumped(records: Iterable[Mapping[str, Any]], where: Callable[[int], str]) -> Iterator[tuple[str, bytes, Any]]:
    for index, record in enumerate(records):
        line = _to_json(record)
        yield where(index), line, json.loads(line)


def _to_json(record: Any) -> bytes:
    return json.dumps(record, default=_plain, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    """What json has no word for: arrays and scalars of tables, paths."""
    return value.tolist() if hasattr(value, "tolist") else os.fspath(value)


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _without_nulls(value: Any) -> Any:
    """A table has a column for what any row has: the others' nulls go."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise Error(f"{path}: expected the package pyarrow, found none; pip install loraxs[ray]") from None
    try:
        for batch in parquet.ParquetFile(path).iter_batches():
            yield from map(_without_nulls, batch.to_pylist())
    except OSError as error:  # ArrowInvalid too is a ValueError
        raise Error(f"{path}: cannot read: {error}") from None
    except ValueError as error:
        raise Error(f"{path}: expected a Parquet file: {error}") from None


def _files_of(folder: Path) -> Iterator[dict[str, Any]]:
    """As api/fleet_jobs.h has a folder: TENANT/NAME.csv, or NAME.csv of the tenant default."""
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        if path.is_file() and not path.name.startswith("."):
            tenant = path.parent.name if path.parent != folder else "default"
            yield {"tenant": tenant, "name": path.stem, "data": str(path.resolve())}
