"""What runs on a node: a fleet of the users that were handed to it, a few seconds at a time."""

from __future__ import annotations

import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

from .. import Error, Fleet, Model


class FleetWorker:
    """An actor of Ray, one a node. Says in its answers what went wrong: {"error": sentence}."""

    def __init__(self, settings: dict[str, Any], cache: str, report: float) -> None:
        self.settings, self.cache, self.report = settings, cache, report
        self.fleet: Fleet | None = None
        self.base: Any = None  # opened and prepared by the first fleet

    def host(self) -> str:
        """Its first answer, as soon as it runs."""
        return platform.node()

    def check(self, marker: str) -> dict[str, Any]:
        """Which base it has. `marker`: a file that must be seen from here, if any."""
        if marker and not Path(marker).exists():
            return {
                "error": f"{Path(marker).parent}: expected a folder that all nodes share, as it is the store, found one that is not; choose postgresql://…"
            }
        try:
            return {"base_id": Model(self.settings["model"], cache=self.cache).base_id}
        except Error as error:
            return {"error": str(error)}

    def work(self, users: list[tuple[str, bytes]] | None) -> dict[str, Any]:
        """Trains these users, (where, line) each, or (None) goes on with those it has, for `report` seconds.

        -> {"lines": of those that ended since, as in jobs.jsonl with `index` in `users`, "over", "sentences": so far}. What
        is reported is in the store.
        """
        try:
            if users is not None:
                self.begin(users)
            until = time.monotonic() + self.report
            over = False
            while not over and time.monotonic() < until:
                over = not self.fleet.step()
            if not over:
                self.fleet.save()
            answer = {"lines": self.new_lines(), "over": over, "sentences": self.fleet.counts["sentences"]}
            if over:
                self.end()
            return answer
        except Error as error:
            self.end()
            return {"error": str(error)}

    def stop(self) -> None:
        """Puts what has ended into the store."""
        if self.fleet is not None:
            self.fleet.save()

    def begin(self, users: list[tuple[str, bytes]]) -> None:
        self.scratch = tempfile.TemporaryDirectory(prefix="loraxs-ray-")
        self.jobs = Path(self.scratch.name) / "jobs.jsonl"
        self.jobs.write_bytes(b"\n".join(line for _, line in users) + b"\n")
        self.places = [where for where, _ in users]
        self.index = {}
        for index, (_, line) in enumerate(users):
            try:
                record = json.loads(line)
                self.index[record["tenant"], record["name"]] = index
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # its failure says on which line
        self.read = 0
        output = {"output": f"{self.scratch.name}/run"}
        self.fleet = Fleet(self.settings | output, jobs=self.jobs, cache=self.cache, base=self.base)
        self.base = self.fleet.base

    def end(self) -> None:
        self.fleet = None
        self.scratch.cleanup()

    def new_lines(self) -> list[dict[str, Any]]:
        with open(f"{self.scratch.name}/run/jobs.jsonl", "rb") as file:
            file.seek(self.read)
            text = file.read()
        self.read += len(text)
        return [self.placed(json.loads(line)) for line in text.splitlines()]

    def placed(self, line: dict[str, Any]) -> dict[str, Any]:
        """With the user's index, and its place in the list of all."""
        if line["status"] == "done":
            return line | {"index": self.index[line["tenant"], line["name"]]}
        here = line["where"]
        index = int(here.rsplit(":", 1)[1]) - 1
        where = self.places[index]
        return line | {"index": index, "where": where, "error": line["error"].replace(here, where)}
