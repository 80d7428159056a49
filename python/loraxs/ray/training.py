"""A fleet over the nodes of a cluster: users in blocks, the largest first, to one worker a node.

What makes a lost node harmless is no lock but the bits: a user's row is the same wherever it is trained on such a CPU, and putting
it twice adds nothing.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from .. import Error, Event, PathLike
from .cluster import Node, actor_options, alive_nodes, join_cluster, place_marker
from .stores import absolute_store, check_store
from .users import User, read_users, settle_starts
from .worker import FleetWorker

BLOCKS_AHEAD = 2  # what is left makes so many blocks a node: the last ones are small, and nodes end together
MOST_DEATHS = 5  # of nodes with one user alone, who then is what they die of
MOST_STARTS = 3  # of a node whose worker dies before it has answered
MOST_TROUBLES = 6  # in a row, of a store that worked before; the pauses between them double up to LONGEST_PAUSE
LONGEST_PAUSE = 30
STOP_SECONDS = 20  # for what has ended to reach the store


@dataclass
class _Seat:
    """A node's worker: starts, is checked, then trains one block after another."""

    node: Node
    actor: Any
    answered: bool = False
    checked: bool = False
    block: list[User] = field(default_factory=list)
    ended: set[int] = field(default_factory=set)  # of the block
    sentences: int = 0  # of the block, as last told

    def unfinished(self) -> list[User]:
        return [user for index, user in enumerate(self.block) if index not in self.ended]


def train_fleet(
    jobs: Any,
    *,
    store: PathLike,
    model: PathLike | None = None,
    cache: PathLike = "",
    progress: Callable[[Event], None] | None = None,
    cpus: int | None = None,
    report: float = 5,
    wait: float = 120,
    **settings: Any,
) -> dict[str, Any]:
    """Train the users' adapters on all nodes of the cluster, into one store.

    `jobs`: a .jsonl or .parquet file, a folder of data files, a Ray Dataset with a user a row, or dicts. `settings`: the recipe's
    sections, `method`, `task`, `train`, `fleet`, …, as in a recipe of one process. A worker takes `cpus` of each node (all). Joins
    the cluster of RAY_ADDRESS, or makes one of this machine, unless ray.init has been called.

    `progress` gets counts, and `users`, those that have ended since: lines as in jobs.jsonl, whose adapters are in the store. An
    exception from it, or Ctrl-C, ends the training; what had ended stays. A worker or node that dies has its unfinished users
    trained elsewhere, from what it last reported, which it does every `report` seconds; nodes that come join in. Without any for `wait` seconds it ends with an Error.

    Users whose newest adapter in the store is that of this very job are done, and not trained (`kept`): the same call may be made
    again, whatever became of the first. `fleet={"finished": "train"}` trains them all the same.

    -> counts, rates, and `users`: a line each, in the order of `jobs`, with its `node`; `left_out`: nodes that were not
    used, and why.
    """
    content = dict(settings) | ({"model": os.path.abspath(model)} if model is not None else {})
    if "model" not in content:
        raise Error("model: expected the folder of the base model, found none")
    if "output" in content:
        raise Error(
            "output: expected none for a fleet on a cluster, whose nodes keep no run folder; what became of users is returned"
        )
    section = dict(content.get("fleet") or {})
    stops = section.pop("on_error", "continue")
    if stops not in ("continue", "stop"):
        raise Error(f'fleet.on_error: expected one of continue, stop, found "{stops}"')
    section["store"] = absolute_store(store)
    section.setdefault("finished", "keep")
    content["fleet"] = section
    epochs = (content.get("train") or {}).get("epochs", 1)
    users = read_users(jobs, epochs if isinstance(epochs, int | float) else 1)
    join_cluster()
    training = _Training(users, content, os.fspath(cache), progress, cpus, report, wait, stops == "stop")
    try:
        training.check_cluster()
        training.fail_early(training.settle_starts())
        training.run()
    except BaseException:
        training.stop()
        raise
    finally:
        training.close()
    return training.result()


class _Training:
    def __init__(
        self,
        users: list[User],
        content: dict[str, Any],
        cache: str,
        progress: Callable[[Event], None] | None,
        cpus: int | None,
        report: float,
        wait: float,
        stops: bool,
    ) -> None:
        self.users, self.content, self.cache, self.progress = users, content, cache, progress
        self.cpus, self.report, self.wait, self.stops = cpus, report, wait, stops
        self.store = content["fleet"]["store"]
        self.waiting = deque(users)
        self.lines: dict[int, dict[str, Any]] = {}  # of users that have ended, by their place
        self.seats: dict[str, _Seat] = {}  # by node
        self.asked: dict[Any, tuple[str, str]] = {}  # answers to come -> (node, what was asked)
        self.starts: dict[str, int] = {}  # deaths of a node's workers before they trained
        self.rests: dict[str, float] = {}  # until when a node whose worker died gets no other
        self.left_out: dict[str, str] = {}
        self.base = ("", "")  # id, and the node that said so first
        self.marker = ""
        self.deaths = self.sentences = self.troubles = self.most_nodes = 0
        self.not_before = 0.0
        self.begun = self.heard = time.monotonic()
        self.first_block = math.inf  # when it was handed out

    # What there is to train on.

    def check_cluster(self) -> None:
        nodes = alive_nodes()
        hosts = {node.host for node in nodes}
        check_store("store", self.store, hosts)
        self.hosts = hosts if self.store.startswith("lmdb://") else set()
        self.first = {node.id for node in nodes}
        self.first_hosts = hosts
        self.marker = place_marker(self.store, hosts)

    def settle_starts(self) -> list[tuple[User, str]]:
        section = self.content["fleet"]
        starts = [str(section.get("start")), *(user.start for user in self.users)]
        if any("lmdb://" in start for start in starts):
            self.hosts = self.first_hosts
        return settle_starts(self.users, self.store, section, self.first_hosts)

    def take_seats(self) -> None:
        """A worker on every node that has none, while users wait."""
        if not self.waiting:
            return
        for node in alive_nodes():
            if node.id in self.seats or node.id in self.left_out or time.monotonic() < self.rests.get(node.id, 0):
                continue
            if self.hosts and node.host not in self.hosts:
                self.leave_out(node, f"expected one of the LMDB store's host, {', '.join(self.hosts)}")
                continue
            content = {"threads": self.cpus or node.cpus, **self.content}
            actor = (
                ray.remote(FleetWorker)
                .options(**actor_options(node, self.cpus))
                .remote(content, self.cache, self.report)
            )
            self.seats[node.id] = _Seat(node, actor)
            self.ask(self.seats[node.id], "host")

    def leave_out(self, node: Node, why: str) -> None:
        """A node that cannot train ends the fleet if it was there from the first; one that came later is not used."""
        if node.id in self.first:
            raise Error(f"{node.name}: {why}")
        self.left_out[node.id] = f"{node.name}: {why}"
        self.tell({"trouble": self.left_out[node.id]})

    def ask(self, seat: _Seat, what: str, *arguments: Any) -> None:
        self.asked[getattr(seat.actor, what).remote(*arguments)] = (seat.node.id, what)

    # Who trains what.

    def next_block(self) -> list[User]:
        """A share of the work that is left: large blocks first, small ones last."""
        nodes = len(self.seats)
        share = sum(user.work for user in self.waiting) / (BLOCKS_AHEAD * nodes)
        most = math.ceil(len(self.waiting) / (BLOCKS_AHEAD * nodes))
        block: list[User] = []
        work = 0.0
        while self.waiting and len(block) < most and (not block or work + self.waiting[0].work <= max(share, 1)):
            limit = self.waiting[0].limit
            if block and len(block) >= min(limit, block[0].limit):
                break
            block.append(self.waiting.popleft())
            work += block[-1].work
        return block

    def hand_out(self) -> None:
        if time.monotonic() < self.not_before:
            return
        for seat in self.seats.values():
            if seat.checked and not seat.block and self.waiting:
                seat.block, seat.ended, seat.sentences = self.next_block(), set(), 0
                self.first_block = min(self.first_block, time.monotonic())
                self.ask(seat, "work", [(user.where, user.line) for user in seat.block])

    def take_back(self, seat: _Seat) -> list[User]:
        unfinished = seat.unfinished()
        self.waiting.extendleft(reversed(unfinished))
        seat.block = []
        return unfinished

    # What becomes of it.

    def run(self) -> None:
        while self.waiting or any(seat.block for seat in self.seats.values()):
            self.take_seats()
            self.hand_out()
            self.most_nodes = max(self.most_nodes, sum(seat.checked for seat in self.seats.values()))
            if not any(seat.answered for seat in self.seats.values()) and time.monotonic() - self.heard > self.wait:
                raise Error(
                    f"ray: expected a node with {self.cpus or 'all of its'} CPUs free within {self.wait:g} s, found none; users "
                    f"that wait: {len(self.waiting)}{''.join('; ' + why for why in self.left_out.values())}"
                )
            if not self.asked:
                time.sleep(0.2)
                continue
            ready, _ = ray.wait(list(self.asked), num_returns=1, timeout=1)
            for answer in ready:
                self.hear(answer)

    def hear(self, answer: Any) -> None:
        node_id, what = self.asked.pop(answer)
        seat = self.seats[node_id]
        try:
            said = ray.get(answer)
        except RayTaskError:  # our bug, with its traceback
            raise
        except RayError as error:
            self.lose(seat, str(error))
            return
        self.heard = time.monotonic()
        if what == "host":
            seat.answered = True
            self.ask(seat, "check", self.marker)
        elif what == "check":
            self.accept(seat, said)
        elif "error" in said:
            self.suffer(seat, said["error"])
        else:
            self.take(seat, said)

    def accept(self, seat: _Seat, said: dict[str, Any]) -> None:
        if "error" in said:
            self.dismiss(seat, said["error"])
        elif self.base[0] and said["base_id"] != self.base[0]:
            base, other = self.base
            self.dismiss(
                seat,
                f"{self.content['model']}: expected the base model of {other}, {base[:16]}, found {said['base_id'][:16]}",
            )
        else:
            self.base = self.base if self.base[0] else (said["base_id"], seat.node.name)
            seat.checked = True

    def dismiss(self, seat: _Seat, why: str) -> None:
        ray.kill(seat.actor)
        del self.seats[seat.node.id]
        self.leave_out(seat.node, why)

    def take(self, seat: _Seat, said: dict[str, Any]) -> None:
        """A report: users that have ended, and whether all have."""
        self.troubles = 0
        fresh = []
        for line in said["lines"]:
            index = line.pop("index")
            seat.ended.add(index)
            fresh.append(self.end(seat.block[index], line | {"node": seat.node.name}))
        self.sentences += said["sentences"] - seat.sentences
        seat.sentences = said["sentences"]
        if said["over"]:
            self.take_back(seat)  # nobody, if each of them has a line
        else:
            self.ask(seat, "work", None)
        self.tell({"users": fresh})
        self.stop_on(fresh)

    def end(self, user: User, line: dict[str, Any]) -> dict[str, Any]:
        return self.lines.setdefault(user.place, line)

    def stop_on(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            if self.stops and line["status"] == "failed":
                raise Error(f"job {line['tenant']}/{line['name']}: {line['error']}")

    def fail(self, user: User, sentence: str) -> dict[str, Any]:
        tenant, _, name = user.title.partition("/")
        line = {"status": "failed", "where": user.where, "error": sentence, "tenant": tenant, "name": name}
        return self.end(user, line)

    def fail_early(self, failures: list[tuple[User, str]]) -> None:
        lines = [self.fail(user, sentence) for user, sentence in failures]
        self.waiting = deque(user for user in self.waiting if user.place not in self.lines)
        if lines:
            self.tell({"users": lines})
        self.stop_on(lines)

    def suffer(self, seat: _Seat, sentence: str) -> None:
        """The fleet of a worker cannot go on: what never worked is a mistake; a store that worked may come back."""
        self.take_back(seat)
        self.troubles += 1
        if not self.lines or self.troubles > MOST_TROUBLES:
            raise Error(f"{seat.node.name}: {sentence}")
        self.not_before = time.monotonic() + min(2**self.troubles, LONGEST_PAUSE)
        self.tell({"trouble": f"{seat.node.name}: {sentence}"})

    def lose(self, seat: _Seat, why: str) -> None:
        """The worker or its node has died: its users go to others, in smaller blocks if it was they who killed it."""
        ray.kill(seat.actor)  # where Ray alone has lost sight of it
        del self.seats[seat.node.id]
        self.deaths += 1
        node = seat.node
        self.starts[node.id] = 0 if seat.checked else self.starts.get(node.id, 0) + 1
        self.rests[node.id] = time.monotonic() + 2 ** self.starts[node.id]  # a dead node is called alive for a while
        if self.starts[node.id] >= MOST_STARTS:
            self.left_out[node.id] = (
                f"{node.name}: its worker died {MOST_STARTS} times before it trained: {why.splitlines()[0]}"
            )
            self.tell({"trouble": self.left_out[node.id]})
        users = self.take_back(seat)
        if not users:
            return
        for user in users:
            user.limit = max(1, len(users) // 2)
        if len(users) == 1:
            users[0].deaths += 1
            if users[0].deaths >= MOST_DEATHS:
                self.waiting.popleft()
                sentence = f"{users[0].where}: expected to be trained, but {MOST_DEATHS} workers died of it: {why.splitlines()[0]}"
                line = self.fail(users[0], sentence)
                self.tell({"users": [line]})
                self.stop_on([line])
                return
        self.tell({"trouble": f"{seat.node.name} died; users that run elsewhere: {len(users)}"})

    def counts(self) -> dict[str, Any]:
        failed = sum(line["status"] == "failed" for line in self.lines.values())
        kept = sum(line.get("kept", False) for line in self.lines.values())
        return {
            "jobs": len(self.users),
            "done": len(self.lines) - failed,
            "kept": kept,
            "failed": failed,
            "waiting": len(self.waiting),
            "nodes": sum(seat.checked for seat in self.seats.values()),
            "deaths": self.deaths,
            "sentences": self.sentences,
            "seconds": time.monotonic() - self.begun,
        }

    def tell(self, event: dict[str, Any]) -> None:
        if self.progress is not None:
            self.progress(self.counts() | {"users": []} | event)

    # The end.

    def stop(self) -> None:
        """What has ended goes into the store before the workers do."""
        busy = [seat.actor.stop.remote() for seat in self.seats.values() if seat.block]
        if busy:
            ray.wait(busy, num_returns=len(busy), timeout=STOP_SECONDS)

    def close(self) -> None:
        for seat in self.seats.values():
            ray.kill(seat.actor)
        if self.marker:
            os.unlink(self.marker)

    def result(self) -> dict[str, Any]:
        counts = self.counts()
        seconds = max(0.0, time.monotonic() - self.first_block)  # without the workers' start
        return counts | {
            "nodes": self.most_nodes,
            "train_seconds": seconds,
            "adapters_per_hour": (counts["done"] - counts["kept"]) * 3600 / seconds if seconds else 0.0,
            "sentences_per_second": counts["sentences"] / seconds if seconds else 0.0,
            "store": self.store,
            "left_out": list(self.left_out.values()),
            "users": [self.lines[user.place] for user in sorted(self.users, key=lambda user: user.place)],
        }
