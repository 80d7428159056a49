"""Fleets and batch inference over a Ray cluster of three nodes on this machine: what one process gives, whatever dies. Arguments: ORACLES;
PYTHONPATH has the module."""

import ast
import inspect
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest
from collections import Counter
from pathlib import Path
from unittest import mock

try:
    import pyarrow as arrow
    import ray.data
    from pyarrow import parquet
    from support.ray_cluster import SmallCluster, content, workers
except ImportError as error:
    if error.name not in ("ray", "pyarrow", "pandas"):
        raise
    print(f"SKIPPED: tests/python/ray_test.py needs ray, pyarrow and pandas: {error}", file=sys.stderr)
    sys.exit(77)

import loraxs
import loraxs.ray
import yaml
from loraxs.ray import cluster, stores, training, users, worker
from support.fleet_users import make_users
from support.tiny_run import TinyRunTest, make_recipe

ORACLES = Path(sys.argv[1]).resolve()


DRIVER = """
import json, sys
import loraxs.ray
jobs, arguments = json.loads(sys.argv[1])
loraxs.ray.train_fleet(jobs, progress=lambda event: print(event["done"], flush=True), **arguments)
"""


def as_table(some: list[dict]) -> list[dict]:
    """A column for what any user has."""
    columns = dict.fromkeys(key for user in some for key in user)
    return [columns | user for user in some]


class RayCase(TinyRunTest):
    oracles = ORACLES

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.cache = cls.folder / "cache"
        cls.model = str(cls.folder / "model")
        train = {"epochs": 3, "batch_size": 4, "learning_rate": 0.02, "max_length": 32}
        cls.settings = {
            "method": make_recipe(cls.folder)["method"],
            "task": {"name": "classification"},
            "train": train,
            "fleet": {"validation": 0.2},
        }

    def url(self, name: str) -> str:
        return f"lmdb://{self.folder / name}"

    def alone(self, name: str, jobs: object, store: str, **more) -> dict:
        """The fleet of one process with one thread."""
        recipe = self.settings | {"model": self.model, "threads": 1, "output": str(self.folder / f"{name}-run")} | more
        return loraxs.train_fleet(recipe, jobs=jobs, store=store, cache=self.cache)

    def spread(self, jobs: object, store: str, **more) -> dict:
        """The same on the cluster."""
        arguments = {"model": self.model, "cache": self.cache, "report": 0.3} | self.settings | more
        return loraxs.ray.train_fleet(jobs, store=store, **arguments)

    def content(self, url: str) -> dict[str, tuple[int, bytes]]:
        return content(url, self.folder)


class ListTest(RayCase):
    """What needs no cluster: lists of users, their starts, who is refused."""

    def test_lists_of_all_kinds_are_one_list(self) -> None:
        some = make_users(6)
        (self.folder / "six.jsonl").write_text("\n".join(json.dumps(user) for user in some) + "\n\n{no json\n")
        parquet.write_table(arrow.Table.from_pylist(as_table(some)), self.folder / "six.parquet")
        lists = [users.read_users(jobs, 3) for jobs in (self.folder / "six.jsonl", self.folder / "six.parquet", some)]
        for found in lists:
            lines = [json.loads(user.line) for user in sorted(found, key=lambda user: user.place) if user.title]
            self.assertEqual(lines, some)
            self.assertEqual([user.work for user in found], sorted((user.work for user in found), reverse=True))
        self.assertEqual([user.where for user in lists[0] if not user.title], [f"{self.folder / 'six.jsonl'}:8"])
        folder = self.folder / "people"
        (folder / "anna").mkdir(parents=True)
        for path in ("anna/one.csv", "solo.csv"):
            (folder / path).write_text("text,label\nabc,x\n")
        self.assertEqual({user.title for user in users.read_users(folder, 1)}, {"anna/one", "default/solo"})

    def test_lists_that_are_refused(self) -> None:
        some = make_users(3)
        for jobs, sentence in (
            ([*some, some[0]], r"jobs\[3\]: expected each tenant and name once, found t0/user-0 at jobs\[0\] too"),
            ([], "jobs: expected jobs, found none"),
            (self.folder / "nowhere.jsonl", "nowhere.jsonl: expected a file or a folder of jobs, found nothing"),
        ):
            with self.assertRaisesRegex(loraxs.Error, sentence):
                self.spread(jobs, self.url("no"))
        (self.folder / "bad.parquet").write_text("no table")
        with self.assertRaisesRegex(loraxs.Error, r"bad.parquet: expected a Parquet file"):
            self.spread(self.folder / "bad.parquet", self.url("no"))
        with self.assertRaisesRegex(loraxs.Error, "model: expected the folder of the base model, found none"):
            self.spread(some, self.url("no"), model=None)
        with self.assertRaisesRegex(loraxs.Error, "output: expected none"):
            self.spread(some, self.url("no"), output="somewhere")
        with self.assertRaisesRegex(loraxs.Error, 'fleet.on_error: expected one of continue, stop, found "go"'):
            self.spread(some, self.url("no"), fleet={"on_error": "go"})
        with self.assertRaisesRegex(loraxs.Error, "LMDB store is one machine's"):
            stores.check_store("store", "lmdb:///data/store", {"a", "b"})
        stores.check_store("store", "postgresql://db/adapters", {"a", "b"})

    def test_starts_are_settled_before_anybody_trains(self) -> None:
        some = make_users(5)
        store = self.url("settled")
        self.alone("settled", some, store)
        lines = [
            {**some[0], "start": "own"},
            {**some[1], "name": "new", "start": "own"},
            {**some[2], "start": "mean(t0/*, t1/user-1)"},
            {**some[3], "start": "t1/user-4"},
            {**some[3], "name": "second", "start": "t0/user-0"},
            {**some[3], "name": "third", "start": "mean(t9/*)"},
        ]
        found = users.read_users(lines, 3)
        failures = users.settle_starts(found, store, section := {"start": "mean(*)"})
        starts = {user.title: json.loads(user.line)["start"] for user in found}
        self.assertEqual(starts["t0/user-0"], "own@<=1")
        self.assertEqual(starts["t1/new"], "own@<=0")
        self.assertEqual(starts["t2/user-2"], "mean(t1/user-1)")  # t0/user-0 and t0/user-3 train here
        self.assertEqual(section["start"], "mean(t1/user-1, t1/user-4)")
        said = {user.title: sentence for user, sentence in failures}
        self.assertEqual(set(said), {"t0/second", "t0/third"})
        self.assertIn("expected an adapter that this fleet does not train, found t0/user-0", said["t0/second"])
        self.assertIn("expected adapters of others to take the mean of, found none as t9/*", said["t0/third"])
        missing = self.alone("missing", [{**some[0], "start": "own@7"}], store)
        self.assertIn("start: expected an adapter of the store, found no t0/user-0@7", missing["failures"][0]["error"])
        other = self.url("others")
        shutil.copytree(self.folder / "settled", self.folder / "others")
        lines = [
            {**some[0], "name": "far", "start": f"mean({other}#t0/*, '{self.url('settled')}#t1/')"},
            {**some[1], "name": "one", "start": f"{other}#t1/user-1@1"},
            {**some[2], "start": f"mean({self.url('settled')}#t2/user-2)"},
            {**some[4], "start": "mean(t1/user-4@1)"},
        ]
        found = users.read_users(lines, 3)
        said = {user.title: sentence for user, sentence in users.settle_starts(found, store, {}, {"here"})}
        starts = {user.title: json.loads(user.line)["start"] for user in found}
        self.assertEqual(starts["t0/far"], f"mean({other}#t0/user-0, {other}#t0/user-3, {store}#t1/user-1)")
        self.assertEqual((starts["t1/one"], starts["t1/user-4"]), (f"{other}#t1/user-1@1", "mean(t1/user-4@1)"))
        self.assertEqual(set(said), {"t2/user-2"})
        self.assertIn("expected an adapter that this fleet does not train", said["t2/user-2"])
        failures = users.settle_starts(users.read_users(lines[:2], 3), store, {}, {"here", "there"})
        self.assertIn("start: expected postgresql://… or a folder that all nodes share", failures[0][1])
        with self.assertRaisesRegex(loraxs.Error, "expected a store that keeps versions for own"):
            users.settle_starts(users.read_users([{**some[0], "start": "own"}], 3), str(self.folder), {})

    def test_a_worker_opens_and_prepares_its_base_once(self) -> None:
        """What it holds needs no model's folder for the next users."""
        folder = self.folder / "moved"
        shutil.copytree(self.model, folder)
        some = make_users(6)
        settings = self.settings | {"model": str(folder), "threads": 1}
        settings["fleet"] = {"validation": 0.2, "store": self.url("one-worker")}
        trainer = worker.FleetWorker(settings, str(self.cache), 1e9)
        lines = []
        for block in (some[:4], some[4:]):
            said = trainer.work([(user["name"], json.dumps(user).encode()) for user in block])
            self.assertTrue(said.get("over"), said)
            lines += said["lines"]
            if folder.exists():
                shutil.rmtree(folder)
        self.assertEqual([line["status"] for line in lines], ["done"] * 6)
        self.alone("one-worker", some, self.url("one-process"))
        self.assertEqual(self.content(self.url("one-worker")), self.content(self.url("one-process")))

    def test_the_job_for_kubernetes_is_whole(self) -> None:
        script, job = yaml.safe_load_all(Path("deploy/kuberay.yaml").read_text())
        calls = [node for node in ast.walk(ast.parse(script["data"]["train.py"])) if isinstance(node, ast.Call)]
        (call,) = (node for node in calls if isinstance(node.func, ast.Attribute) and node.func.attr == "train_fleet")
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        inspect.signature(loraxs.ray.train_fleet).bind("users", **given)
        self.assertLessEqual({"method", "task", "train"}, set(given))
        self.assertIn("postgresql://", given["store"])
        self.assertEqual(job["spec"]["entrypoint"], "python /loraxs/train.py")
        version = job["spec"]["rayClusterSpec"]["rayVersion"]
        self.assertIn(f"ray=={version}\n", Path("scripts/requirements.txt").read_text())

    def test_without_ray_a_sentence_says_what_to_install(self) -> None:
        script = "import sys; sys.modules['ray'] = None\nimport loraxs.ray"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        self.assertIn("ImportError: loraxs.ray: expected the package ray, found none; pip install loraxs[ray]", done.stderr)  # fmt: skip


class DeathsTest(unittest.TestCase):
    """Blocks and deaths, without a cluster."""

    def setUp(self) -> None:
        some = [users.User(place, f"jobs[{place}]", b"{}", f"t/{place}", work=10 - place % 3) for place in range(40)]
        some.sort(key=lambda user: -user.work)
        self.events = []
        content = {"model": "m", "fleet": {"store": "/store"}}
        self.training = training._Training(some, content, "", self.events.append, None, 1, 60, False)
        self.training.first = {"a", "b"}
        self.enterContext(mock.patch.object(training.ray, "kill"))
        for name in ("a", "b"):
            node = cluster.Node(name, f"host-{name}", 1)
            actor = mock.Mock()
            actor.work.remote.side_effect = lambda *_: object()
            self.training.seats[name] = training._Seat(node, actor, checked=True)

    def test_every_user_is_handed_out_once_in_blocks_that_get_smaller(self) -> None:
        sizes, seen = [], []
        while block := self.training.next_block():
            sizes.append(len(block))
            seen += [user.place for user in block]
        self.assertEqual(sorted(seen), list(range(40)))
        self.assertEqual(sizes, sorted(sizes, reverse=True))
        self.assertGreater(sizes[0], 7)
        self.assertEqual(sizes[-1], 1)

    def test_a_user_that_kills_is_found_and_the_others_go_on(self) -> None:
        """Whatever worker has user 7 dies, with nobody of its block done."""
        for _ in range(500):
            self.training.hand_out()
            busy = [seat for seat in self.training.seats.values() if seat.block]
            if not busy:
                break
            for seat in busy:
                if any(user.place == 7 for user in seat.block):
                    self.training.lose(seat, "killed\nby whom")
                    self.training.seats[seat.node.id] = training._Seat(seat.node, seat.actor, checked=True)
                    continue
                lines = [
                    {"index": i, "status": "done", "tenant": "t", "name": str(user.place)}
                    for i, user in enumerate(seat.block)
                ]
                self.training.take(seat, {"lines": lines, "over": True, "sentences": 3 * len(lines)})
        lines = self.training.result()["users"]
        self.assertEqual(Counter(line["status"] for line in lines), {"done": 39, "failed": 1})
        self.assertEqual(lines[7]["error"], "jobs[7]: expected to be trained, but 5 workers died of it: killed")
        self.assertEqual(sorted(place for event in self.events for line in event["users"] for place in [line["name"]]), sorted(map(str, range(40))))  # fmt: skip

    def test_another_model_is_named_with_both_nodes(self) -> None:
        first, second = self.training.seats.values()
        self.training.accept(first, {"base_id": "1" * 64})
        with self.assertRaisesRegex(loraxs.Error, r"node host-b \(b\): m: expected the base model of node host-a \(a\), 1{16}, found 2{16}"):  # fmt: skip
            self.training.accept(second, {"base_id": "2" * 64})
        self.training.first = {"a"}  # b came later: it is not used, and the fleet goes on
        self.training.seats["b"] = second
        self.training.accept(second, {"base_id": "2" * 64})
        self.assertEqual(set(self.training.seats), {"a"})
        self.assertIn("host-b", self.training.left_out["b"])

    def test_a_store_that_goes_away_has_time_to_come_back(self) -> None:
        seat = self.training.seats["a"]
        with self.assertRaisesRegex(loraxs.Error, "no store"):  # it never worked
            self.training.suffer(seat, "no store")
        self.training.lines[0] = {"status": "done"}
        for _ in range(training.MOST_TROUBLES - 1):
            self.training.suffer(seat, "no store")
        self.assertEqual(len(self.events), training.MOST_TROUBLES - 1)
        with self.assertRaisesRegex(loraxs.Error, "no store"):
            self.training.suffer(seat, "no store")


class ClusterTest(RayCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.cluster = SmallCluster(3)
        cls.addClassCleanup(cls.cluster.close)
        logging.getLogger("ray.data").setLevel(logging.ERROR)

    def setUp(self) -> None:
        begun = time.monotonic()
        self.addCleanup(lambda: print(f"{time.monotonic() - begun:.1f} s", file=sys.stderr))

    def test_1_three_nodes_give_the_store_of_one_process(self) -> None:
        """And users who fail fail alone; then each line is answered by its own adapter."""
        some = make_users(12)
        bad = {"tenant": "bad", "name": "one-class", "examples": [{"text": "abc", "label": "x"}] * 4}
        self.alone("one", some, self.url("one"))
        result = self.spread(ray.data.from_items(as_table([*some, bad])), self.url("three"))
        self.assertEqual((result["jobs"], result["done"], result["failed"], result["nodes"]), (13, 12, 1, 3))
        self.assertEqual(self.content(self.url("three")), self.content(self.url("one")))
        self.assertEqual([(line["tenant"], line["name"]) for line in result["users"]], [(user["tenant"], user["name"]) for user in [*some, bad]])  # fmt: skip
        self.assertIn("dataset: row 13: labels: expected at least two distinct labels", result["users"][12]["error"])  # fmt: skip
        lines = {line["name"]: line for line in map(json.loads, (self.folder / "one-run/jobs.jsonl").read_text().splitlines())}  # fmt: skip
        for line in result["users"][:12]:
            self.assertEqual({key: value for key, value in line.items() if key != "node"}, lines[line["name"]])

        lines = [
            {"adapter": f"{user['tenant']}/{user['name']}", "text": example["text"], "n": n}
            for n, example in enumerate(some[0]["examples"])
            for user in some[:5]
        ]
        lines.append({"adapter": "t0/nobody", "text": "abc", "n": -1})
        found = loraxs.ray.predict(lines, store=self.url("three"), model=self.model, cache=self.cache, batch_size=8)
        model = loraxs.Model(self.model, cache=self.cache)
        for line, answer in zip(lines[:-1], found[:-1], strict=True):
            (expected,) = loraxs.predict(model.open(f"{self.url('one')}#{line['adapter']}"), [line["text"]])
            self.assertEqual(answer, line | {"label": expected.label, "score": expected.score, "error": ""})
        self.assertGreater(len({answer["label"] for answer in found}), 5)
        self.assertIn("t0/nobody", found[-1]["error"])
        table = loraxs.ray.predict(ray.data.from_items(lines), store=self.url("three"), model=self.model, cache=self.cache)  # fmt: skip
        self.assertEqual(sorted(table.take_all(), key=repr), sorted(found, key=repr))

    def test_2_deaths_lose_nobody_and_train_nobody_twice(self) -> None:
        """Starts from the store included: a user that runs again starts where it started."""
        some = make_users(18)
        self.alone("before", [{**user, "epochs": 1} for user in some[:9]], self.url("before"))
        jobs = [{**user, "epochs": 60, "start": ("own", "mean(t2/*)", "fresh")[u % 3]} for u, user in enumerate(some) if u % 9 != 2]  # fmt: skip
        for name in ("whole", "killed"):
            shutil.copytree(self.folder / "before", self.folder / name)
        self.alone("whole", jobs, self.url("whole"))
        ended, deaths = [], []

        def kill(event: dict) -> None:
            ended.extend(f"{line['tenant']}/{line['name']}" for line in event["users"])
            if event["done"] >= 2 and not deaths:
                deaths.append(os.kill(workers()[0], signal.SIGKILL))
            elif event["done"] >= 4 and len(deaths) == 1:
                deaths.append(self.cluster.lose_node())

        result = self.spread(jobs, self.url("killed"), progress=kill)
        self.assertEqual((result["done"], result["failed"]), (len(jobs), 0))
        self.assertEqual(len(deaths), 2)
        self.assertGreaterEqual(result["deaths"], 2)
        self.assertEqual(sorted(ended), sorted(f"{job['tenant']}/{job['name']}" for job in jobs))  # each once
        self.assertEqual(self.content(self.url("killed")), self.content(self.url("whole")))
        versions = {title: version for title, (version, _) in self.content(self.url("killed")).items()}
        self.assertEqual((versions["t0/user-0"], versions["t0/user-15"], versions["t2/user-2"]), (2, 1, 1))

    def test_3_mistakes_and_cancelling(self) -> None:
        some = make_users(8)
        with self.assertRaisesRegex(loraxs.Error, r"node .*: .*/nowhere: expected a Hugging Face model folder"):
            self.spread(some, self.url("no"), model=self.folder / "nowhere")

        class Enough(Exception):
            pass

        def cancel(event: dict) -> None:
            if event["done"] >= 2:
                raise Enough([line["name"] for line in event["users"]])

        jobs = [{**user, "epochs": 30} for user in some]
        with self.assertRaises(Enough) as caught:
            self.spread(jobs, self.url("cancelled"), progress=cancel)
        self.assertEqual(workers(), [])
        stored = {reference.rsplit("/", 1)[1] for reference in loraxs.store_list(self.url("cancelled"))}
        self.assertLessEqual(set(caught.exception.args[0]), stored)
        self.assertLess(len(stored), 8)

    def test_4_a_driver_that_dies_leaves_what_has_ended(self) -> None:
        """The same call again trains the others alone; a user whose data or settings are others is another job."""
        some = make_users(12)
        self.alone("first", [{**user, "epochs": 1} for user in some[:6]], self.url("first"))
        jobs = [{**user, "epochs": 60, "start": ("own", "fresh")[u % 2]} for u, user in enumerate(some)]
        for name in ("together", "left"):
            shutil.copytree(self.folder / "first", self.folder / name)
        whole = self.alone("together", jobs, self.url("together"))
        arguments = {"store": self.url("left"), "model": self.model, "cache": str(self.cache), "report": 0.2}
        driver = [sys.executable, "-c", DRIVER, json.dumps([jobs, arguments | self.settings])]
        address = {"RAY_ADDRESS": self.cluster.cluster.address}
        with subprocess.Popen(driver, stdout=subprocess.PIPE, text=True, env=os.environ | address) as process:
            told = next(done for done in map(int, process.stdout) if done >= 3)
            process.kill()
        result = self.spread(jobs, self.url("left"))
        self.assertEqual((result["done"], result["failed"]), (12, 0))
        self.assertGreaterEqual(result["kept"], told)
        self.assertLess(result["kept"], 12)
        self.assertLess(result["sentences"], whole["sentences"])
        self.assertEqual(self.content(self.url("left")), self.content(self.url("together")))
        jobs[3] = {**jobs[3], "seed": 99}
        jobs[4] = {**jobs[4], "examples": jobs[4]["examples"][1:]}
        jobs[5] = {**jobs[5], "learning_rate": 0.5}
        changed = self.spread(jobs, self.url("left"))
        trained = [line["name"] for line in changed["users"] if not line.get("kept")]
        self.assertEqual(trained, ["user-3", "user-4", "user-5"])
        before = {line["name"]: line for line in result["users"]}
        for line in changed["users"]:
            if line.get("kept"):
                told_before = {key: value for key, value in before[line["name"]].items() if key not in ("kept", "node")}
                self.assertEqual(
                    {key: value for key, value in line.items() if key not in ("kept", "node")}, told_before
                )
        again = self.spread(jobs, self.url("left"), fleet={"validation": 0.2, "finished": "train"})
        self.assertEqual((again["kept"], again["done"]), (0, 12))


del RayCase
if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
