"""Many users' adapters in one process: each equal to a fleet of that user alone, whatever the company, order, slots, budget and interruptions."""

import json
import random
import shutil
import subprocess
import sys
import time
import unittest
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from support.fleet_users import make_users
from support.postgres import Postgres, programs
from support.progress import without_progress
from support.tiny_run import TinyRunTest, make_recipe, run

PROGRAM, ORACLES, FAULTS = sys.argv[1], Path(sys.argv[2]).resolve(), sys.argv[3]


def adapters_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.safetensors")}


class FleetCase(TinyRunTest):
    oracles = ORACLES

    def command(self, name: str, users: list[dict] | str, *more: str, task: dict | None = None, **fleet) -> list[str]:
        """Trains `users` (lines, or the text of the file) into the store NAME-store."""
        jobs = self.folder / f"{name}.jsonl"
        jobs.write_text(users if isinstance(users, str) else "".join(json.dumps(user) + "\n" for user in users))
        recipe = make_recipe(self.folder)
        recipe["task"] = task or {"name": "classification"}
        recipe["train"] |= {"seeds": [0], "batch_size": 4, "epochs": 3, "learning_rate": 0.02}
        recipe["fleet"] = {"jobs": str(jobs), "store": str(self.folder / f"{name}-store"), "validation": 0.2} | fleet
        recipe["output"] = str(self.folder / name)
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(recipe))
        return [PROGRAM, "train", str(path), "--cache", str(self.folder / "cache"), "-q", "--json", *more]

    def succeeds(self, command: list[str]) -> None:
        done = run(command)
        self.assertEqual(done.returncode, 0, done.stderr)

    def trained_fleet(self, name: str, users: list[dict], *more: str, **fleet) -> dict:
        done = run(self.command(name, users, *more, **fleet))
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    def store(self, name: str) -> dict[str, bytes]:
        return adapters_of(self.folder / f"{name}-store")

    def lines(self, name: str) -> dict[str, dict]:
        lines = (self.folder / name / "jobs.jsonl").read_text().splitlines()
        return {f"{line['tenant']}/{line['name']}": line for line in map(json.loads, lines)}


class FleetTest(FleetCase):
    def test_each_user_has_the_bytes_of_a_fleet_of_its_own(self) -> None:
        users = make_users()
        result = self.trained_fleet("eight", users)
        self.assertEqual((result["jobs"], result["done"], result["failed"]), (8, 8, 0))
        together = self.store("eight")
        self.assertEqual(len(together), 8)
        self.assertEqual(len(set(together.values())), 8)
        for u, user in enumerate(users):
            self.trained_fleet(f"alone{u}", [user])
            path = f"{user['tenant']}/{user['name']}.safetensors"
            self.assertEqual(self.store(f"alone{u}"), {path: together[path]}, path)
            title = f"{user['tenant']}/{user['name']}"
            self.assertEqual(self.lines(f"alone{u}")[title], self.lines("eight")[title])

    def test_order_slots_and_budget_change_no_bit(self) -> None:
        users = make_users(12)
        self.trained_fleet("plain", users)
        shuffled = users[:]
        random.Random(3).shuffle(shuffled)
        for name, jobs, fleet in (
            ("shuffled", shuffled, {"slots": 3}),
            ("one_slot", users, {"slots": 1, "tokens_per_step": 64}),
            ("large", users[::-1], {"slots": 40, "tokens_per_step": 100000}),
        ):
            self.trained_fleet(name, jobs, **fleet)
            self.assertEqual(self.store(name), self.store("plain"), name)
        # Control: a user's key comes from tenant, name and seed.
        users[0]["seed"] = 5
        users[1]["name"] = "other"
        self.trained_fleet("control", users)
        changed, plain = self.store("control"), self.store("plain")
        self.assertNotEqual(changed["t0/user-0.safetensors"], plain["t0/user-0.safetensors"])
        self.assertNotEqual(changed["t1/other.safetensors"], plain["t1/user-1.safetensors"])
        self.assertEqual(changed["t2/user-2.safetensors"], plain["t2/user-2.safetensors"])

    def test_a_job_that_fails_is_recorded_and_the_others_go_on(self) -> None:
        good = make_users(3)
        bad = [
            json.dumps({"tenant": "a", "name": "empty", "examples": []}),
            "{no json",
            json.dumps({"tenant": "a", "name": "one-class", "examples": [{"text": "abc", "label": "x"}] * 4}),
            json.dumps(
                {
                    "tenant": "a",
                    "name": "unknown",
                    "labels": ["x", "y"],
                    "examples": [{"text": "abc", "label": "z"}] * 4,
                }
            ),
            json.dumps(
                {
                    "tenant": "a",
                    "name": "diverges",
                    "learning_rate": 1e30,
                    "max_grad_norm": 0,
                    "examples": good[0]["examples"],
                }
            ),
            json.dumps({"tenant": "a", "name": "rank", "rank": 8, "examples": good[0]["examples"]}),
            json.dumps({"tenant": "a", "name": "memory", "precision": "float32", "examples": good[0]["examples"]}),
            json.dumps({"tenant": "a", "name": "typo", "learning_rte": 1, "examples": good[0]["examples"]}),
            json.dumps({"tenant": "a/b", "name": "slash", "examples": good[0]["examples"]}),
            json.dumps({"tenant": "a", "name": "nothing"}),
            json.dumps({"tenant": "a", "name": "no-file", "data": "nowhere.csv"}),
            json.dumps({"tenant": "a", "name": "long", "max_length": 100000, "examples": good[0]["examples"]}),
            json.dumps({"tenant": "a", "name": "single", "examples": good[0]["examples"][:1]}),
            json.dumps(
                {
                    "tenant": "a",
                    "name": "n" * 100,
                    "labels": [f"l{i}" for i in range(9000)],
                    "examples": [{"text": "abc", "label": "z"}],
                }
            ),
        ]
        text = (
            "".join(json.dumps(user) + "\n" for user in good[:2]) + "\n".join(bad) + "\n" + json.dumps(good[2]) + "\n"
        )
        done = run(self.command("failures", text))
        self.assertEqual(done.returncode, 2)
        result = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual((result["done"], result["failed"]), (3, len(bad)), done.stderr)
        self.assertEqual(len(without_progress(done.stderr)), len(bad), done.stderr)
        self.assertLessEqual(max(map(len, done.stderr.splitlines())), 500)
        errors = {}
        for line in (self.folder / "failures/jobs.jsonl").read_text().splitlines():
            line = json.loads(line)
            if line["status"] == "failed":
                errors[line["where"].rsplit(":", 1)[1]] = line["error"]
        self.assertEqual(len(errors), len(bad))
        said = [
            "expected a list of examples, found []",
            "expected JSON",
            "expected at least two distinct labels, found 1",
            'examples[0]: label: expected one of x, y, found "z"',
            "expected a finite loss",
            "rank: expected the same for all jobs, which are rows of one bank on one base, found 8; say it in the recipe, as method.rank",
            "precision: expected the same for all jobs",
            "learning_rate",
            "tenant: expected at most 64 letters, digits and . _ : -",
            'expected a file, or a list of examples as "examples", found neither',
            "nowhere.csv",
            "max_length: expected at most",
            "labels",
            "label: expected one of l0, l1, l2",
        ]
        for line, part in enumerate(said, 3):
            self.assertIn(part, errors[str(line)])
        self.trained_fleet("without", good)
        self.assertEqual(self.store("failures"), self.store("without"))
        stopped = run(self.command("stops", text, on_error="stop"))
        self.assertEqual(stopped.returncode, 2)
        self.assertIn("expected a list of examples, found []", stopped.stderr)

    def test_what_no_fleet_can_be_made_of(self) -> None:
        users = make_users(2)
        twice = [*users, users[0]]
        self.refused(
            self.command("twice", twice),
            "twice.jsonl:3: expected each tenant and name once, found t0/user-0 on line 1 too",
        )
        self.refused(self.command("none", "\n\n"), "none.jsonl: expected jobs, found none")
        self.refused(
            self.command("fraction", users, validation=1), "fleet.validation: expected a number from 0 to below 1"
        )
        self.refused(self.command("typo", users, slot=3), "fleet.slot: ", "slots")
        self.refused(
            self.command("task", users, task={"name": "classification", "train": "x.csv"}),
            "task.train: expected none for a fleet",
        )
        self.refused(
            self.command("kind", users, task={"metric": "accuracy"}),
            "task.name: expected what all users' data are",
            "found none; say task: {name: classification}",
        )
        self.refused(
            self.command("seeds", users, "--set", "train.seeds=[0,1]"),
            "train.seeds: expected one value for a fleet, found 2",
        )
        self.refused(
            self.command("method", users, "--set", "method={name: lora_sb, rank: 4}"),
            "method.name: expected a method whose basis all jobs share",
        )

    def test_regression_and_files(self) -> None:
        generator = random.Random(2)
        folder = self.folder / "people"
        (folder / "anna").mkdir(parents=True)
        for path in ("anna/one.csv", "anna/two.csv", "solo.csv"):
            rows = [f"{' '.join(['abc', 'xyz', 'kq'][: 1 + i % 3])},{generator.random():.3f}" for i in range(12)]
            (folder / path).write_text("\n".join(["text,label", *rows]) + "\n")
        result = self.trained_fleet("files", [], task={"name": "regression", "metric": "spearman"}, jobs=str(folder))
        self.assertEqual(result["done"], 3)
        self.assertEqual(
            sorted(self.store("files")), ["anna/one.safetensors", "anna/two.safetensors", "default/solo.safetensors"]
        )
        line = self.lines("files")["anna/one"]
        self.assertIn("spearman", line)
        user = {"tenant": "anna", "name": "two", "data": str(folder / "anna/two.csv")}
        self.trained_fleet("file", [user], task={"name": "regression", "metric": "spearman"})
        self.assertEqual(self.store("file")["anna/two.safetensors"], self.store("files")["anna/two.safetensors"])

    def test_starts(self) -> None:
        users = make_users(6)
        self.trained_fleet("start", users)
        first = self.store("start")
        again = [{**user, "start": "own", "epochs": 1} for user in users[:2]]
        command = self.command("again", again, store=str(self.folder / "start-store"))
        done = run(command)
        self.assertEqual(done.returncode, 0, done.stderr)
        changed = {name for name, bytes in self.store("start").items() if bytes != first[name]}
        self.assertEqual(changed, {"t0/user-0.safetensors", "t1/user-1.safetensors"})
        self.assertEqual(self.lines("again")["t0/user-0"]["start"]["adapter"], "t0/user-0")
        self.assertEqual(self.lines("again")["t0/user-0"]["start"]["head"], "carried")
        # The mean of the others: without whom this fleet trains, in any order.
        new = [
            {**users[0], "name": "new", "start": "mean(t0/*, t1/user-4)"},
            {**users[1], "tenant": "t0", "name": "other"},
        ]
        stores = []
        for name, jobs in (("mean", new), ("naem", new[::-1])):
            shutil.copytree(self.folder / "start-store", self.folder / f"{name}-store")
            self.trained_fleet(name, jobs)
            stores.append(self.store(name))
        self.assertEqual(stores[0], stores[1])
        start = self.lines("mean")["t0/new"]["start"]
        self.assertEqual((start["adapter"], start["head"]), ("mean of 3", "fresh"))
        self.assertNotIn("start", self.lines("mean")["t0/other"])
        bad = [
            {**users[0], "name": "a", "start": "t9/nobody"},
            {**users[0], "name": "b", "start": "t0/a"},
            {**users[0], "name": "c", "start": "mean(t9/*)"},
            {**users[0], "name": "d", "start": "somewhere"},
            {**users[0], "name": "e", "start": "t1/user-1", "init_head": "carry"},
        ]
        failed = run(self.command("bad", bad, store=str(self.folder / "start-store")))
        self.assertEqual(failed.returncode, 2)
        for part in (
            "expected an adapter of the store, found no t9/nobody",
            "expected an adapter that this fleet does not train, found t0/a",
            "expected adapters of others to take the mean of, found none as t9/*",
            "expected fresh, own, own@VERSION, TENANT/NAME, URL#TENANT/NAME or mean(…), found somewhere",
            "init_head: expected a full head of 2 outputs",
        ):
            self.assertIn(part, failed.stderr)

    def test_jobs_that_are_done_are_kept(self) -> None:
        """Known by what they were trained with: places, company and the order of users are none of it."""
        users = make_users(5)
        users[1]["start"] = "own"
        for store in (str(self.folder / "kept-store"), f"lmdb://{self.folder}/kept-lmdb"):
            for path in self.folder.glob("kept*"):
                if path.is_dir():
                    shutil.rmtree(path)
            first = self.trained_fleet("kept", users, store=store, finished="keep")
            self.assertEqual((first["done"], first["kept"]), (5, 0))
            lines = self.lines("kept")
            again = self.trained_fleet("kept-again", users[::-1], store=store, finished="keep", slots=2)
            self.assertEqual((again["done"], again["kept"], again["steps"]), (5, 5, 0))
            self.assertEqual(self.lines("kept-again"), {name: line | {"kept": True} for name, line in lines.items()})
            changed = [{**users[0], "seed": 5}, {**users[1], "start": "fresh"}, {**users[2], "epochs": 4}, *users[3:]]
            changed[3]["examples"] = changed[3]["examples"][:-1]
            some = self.trained_fleet("kept-changed", changed, store=store, finished="keep")
            self.assertEqual((some["done"], some["kept"]), (5, 1))
            self.assertIn("kept", self.lines("kept-changed")["t1/user-4"])
            told = run(self.command("kept-told", users[4:], store=store, finished="keep")).stdout
            self.assertEqual(json.loads(told.splitlines()[-1])["adapters_per_hour"], 0)
            rates = self.trained_fleet(
                "kept-rate", users[4:], "--set", "train.weight_decay=0", store=store, finished="keep"
            )
            self.assertEqual(rates["kept"], 0)
            trained = self.trained_fleet("kept-not", users[4:], store=store)
            self.assertEqual((trained["done"], trained["kept"]), (1, 0))

    def test_starts_from_other_stores(self) -> None:
        """The mean of any store's adapters is the row that `loraxs combine` writes; rates that move nothing show it."""
        users = make_users(9)
        others = self.folder / "others-store"
        self.trained_fleet("others", users)
        stores = {"lmdb": f"lmdb://{self.folder}/others-lmdb"}
        if programs():
            stores["postgresql"] = self.enterContext(Postgres()).url
        else:
            print("NOT RUN: no PostgreSQL server is installed (Debian: postgresql)", file=sys.stderr)
        for url in stores.values():
            for tenant in ("t0", "t1"):
                files = map(str, sorted((others / tenant).glob("*")))
                self.succeeds([PROGRAM, "store", "put", f"{url}#{tenant}/", *files])
        common = {"epochs": 1, "learning_rate": 1e-30, "head_learning_rate": 1e-30, "weight_decay": 0}

        def mean(expression: str, *more: str) -> np.ndarray:
            out = self.folder / "mean.safetensors"
            out.unlink(missing_ok=True)
            self.succeeds(
                [PROGRAM, "combine", expression, "--model", str(self.folder / "model"), "--out", str(out), *more]
            )
            return load_file(out)["row"]

        starts = {name: f"mean({url}#t0/*)" for name, url in stores.items()} | {"folder": f"mean({others}/t0)"}
        rows = {}
        for name, start in starts.items():
            jobs = [{**users[0], **common, "tenant": "new", "name": name, "start": start}]
            self.trained_fleet(f"from-{name}", jobs)
            rows[name] = load_file(self.folder / f"from-{name}-store/new/{name}.safetensors")["row"]
            expected = mean(start, "--head", "none")
            np.testing.assert_array_equal(rows[name][: len(expected)], expected)
            self.assertGreater(np.abs(expected).max(), 0.01)
        self.assertFalse(np.array_equal(expected, mean(f"mean({others}/t1)", "--head", "none")))  # control
        # Heads of one kind are carried; names are one adapter each, and a beginning several.
        url = stores["lmdb"]
        alike = [
            {**users[0], "tenant": "alike", "name": name, "epochs": u} for u, name in enumerate(("m0", "m1", "m10"), 1)
        ]
        self.trained_fleet("alike", alike)
        files = map(str, sorted((self.folder / "alike-store/alike").glob("*")))
        self.succeeds([PROGRAM, "store", "put", f"{url}#alike/", *files])
        shared = {**users[0], **common, "tenant": "alike", "init_head": "carry"}
        jobs = [
            {**shared, "name": "some", "start": f"mean({url}#alike/m*)"},
            {**shared, "name": "two", "start": f"mean('{url}#alike/m0', {url}#alike/m10@1)"},
            {**shared, "name": "one", "start": f"{url}#alike/m1"},
        ]
        self.trained_fleet("carried", jobs)
        found = {path.stem: load_file(path)["row"] for path in (self.folder / "carried-store/alike").iterdir()}
        np.testing.assert_array_equal(found["some"], mean(f"mean({url}#alike/m*)"))
        np.testing.assert_array_equal(found["two"], mean(f"0.5*{url}#alike/m0 + 0.5*{url}#alike/m10"))
        np.testing.assert_array_equal(found["one"], load_file(self.folder / "alike-store/alike/m1.safetensors")["row"])
        np.testing.assert_array_equal(mean(f"mean({url}#alike/m1)"), found["one"])  # not of all that begin so
        # The fleet's own store by its URL, however it is spelled: its own jobs are left out, and cannot be named.
        own = f"lmdb://{self.folder}/../{self.folder.name}/others-lmdb"
        jobs = [
            {**shared, "name": "m0", "start": f"mean({own}#alike/m*)"},
            {**shared, "name": "m3", "start": f"{own}#alike/m0"},
        ]
        done = run(self.command("own", jobs, store=url))
        self.assertIn("expected an adapter that this fleet does not train", done.stderr)
        self.assertEqual(self.lines("own")["alike/m0"]["start"]["adapter"], "mean of 2")

    def test_starts_that_are_refused(self) -> None:
        """Of another base, kind, basis or method; each by one sentence."""
        users = make_users(3)
        self.trained_fleet("near", users)
        lora = self.command("lora", users, "--set", "method={name: lora, rank: 4}")
        self.succeeds(lora)
        self.succeeds(self.command("narrow", users, "--set", "method.rank=2"))
        random_basis = self.command("random", users, "--set", "method.basis={variant: random}")
        self.succeeds(random_basis)
        base = self.folder / "other-model"
        shutil.copytree(self.folder / "model", base)
        weights = load_file(base / "model.safetensors")
        name = next(iter(weights))
        save_file(weights | {name: weights[name] + 1}, base / "model.safetensors")
        self.succeeds(self.command("base", users, "--set", f"model={base}"))

        def said(start: str, *more: str) -> str:
            failed = run(self.command("refused", [{**users[0], "tenant": "new", "start": start}], *more))
            shutil.rmtree(self.folder / "refused")
            self.assertEqual(failed.returncode, 2)
            (line,) = without_progress(failed.stderr)
            return line

        for kind, sentence in {
            "lora": "start: expected lora_xs, as this recipe trains, found lora in ",
            "narrow": "start: expected rank 4 on",
            "random": "basis: expected ",
            "base": "base_id: expected ",
        }.items():
            url = f"lmdb://{self.folder}/{kind}-lmdb"
            files = map(str, sorted((self.folder / f"{kind}-store/t0").glob("*")))
            self.succeeds([PROGRAM, "store", "put", f"{url}#t0/", *files])
            self.assertIn(sentence, said(f"mean({url}#t0/*)"))
            self.assertIn(sentence, said(f"mean({self.folder}/{kind}-store/t0)"))
        url = f"lmdb://{self.folder}/lora-lmdb"
        mixed = said(f"mean({url}#t0/*)", "--set", "method={name: lora, rank: 4}")
        self.assertIn("start: expected a mean of lora_xs, whose rows are a vector space, found lora", mixed)
        self.assertIn("expected adapters, found none of that tenant", said(f"mean({url}#nobody/*)"))
        self.assertIn("nowhere", said(f"mean(lmdb://{self.folder}/nowhere#t0/*)"))

    def test_chats(self) -> None:
        users = []
        for u in range(4):
            chats = [
                {"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": f"def f{n * u}(): pass " * (1 + n % 3)}]}
                for n in range(5 + u)
            ]  # fmt: skip
            users.append({"tenant": "chat", "name": f"user-{u}", "examples": chats, "batch_size": 2 + u % 2})
        users[3]["max_length"] = 2
        model = [
            "--set",
            f"model={ORACLES}/generation",
            "--set",
            "train.precision=float32",
            "--set",
            "train.max_length=64",
        ]
        together = run(self.command("chats", users, *model, task={"name": "chat"}))
        self.assertEqual(together.returncode, 2)
        self.assertIn("max_length 2 leaves no answer", together.stderr)
        for user in users[:3]:
            alone = run(self.command(user["name"], [user], *model, task={"name": "chat"}))
            self.assertEqual(alone.returncode, 0, alone.stderr)
            path = f"chat/{user['name']}.safetensors"
            self.assertEqual(self.store(user["name"])[path], self.store("chats")[path])
            self.assertIn("validation_loss", self.lines("chats")[f"chat/{user['name']}"])
        self.assertEqual(len(set(self.store("chats").values())), 3)


class KilledFleetTest(FleetCase):
    """kill -9 at file calls and at random moments, then --resume: the same store, each user once in jobs.jsonl."""

    RANDOM = 12
    CALLS = 24

    def setUp(self) -> None:
        self.users = make_users(7)
        self.settings = ["--set", "train.checkpoint_seconds=0"]

    def train_whole(self) -> None:
        """What an uninterrupted fleet leaves, once for all tests."""
        if not (self.folder / "whole").exists():
            self.trained_fleet("whole", self.users, *self.settings, slots=3)

    def check(self, name: str, what: str) -> None:
        resumed = run(self.command(name, self.users, *self.settings, "--resume", slots=3))
        self.assertEqual(resumed.returncode, 0, f"{what}: {resumed.stderr}")
        self.assertEqual(self.store(name), self.store("whole"), what)
        self.assertEqual(self.lines(name), self.lines("whole"), what)
        self.assertEqual(len((self.folder / name / "jobs.jsonl").read_text().splitlines()), 7, what)
        for path in (name, f"{name}-store"):
            shutil.rmtree(self.folder / path)

    def test_killed_and_resumed(self) -> None:
        self.trained_fleet("warm", self.users[:1])  # the basis is in the cache
        count = self.folder / "count"
        whole = run(self.command("counted", self.users, *self.settings, slots=3), LD_PRELOAD=FAULTS, FAULT_ROOT=str(self.folder), COUNT_FILE=str(count))  # fmt: skip
        self.assertEqual(whole.returncode, 0, whole.stderr)
        self.assertEqual(json.loads(whole.stdout.splitlines()[-1])["done"], 7)
        total = int(count.read_text())
        self.train_whole()
        self.assertEqual(self.store("counted"), self.store("whole"))
        for number in range(self.CALLS):
            call = 1 + number if number < 4 else total * number // self.CALLS
            killed = run(self.command("killed", self.users, *self.settings, slots=3), LD_PRELOAD=FAULTS, FAULT_ROOT=str(self.folder), FAULT="kill", FAULT_AT=str(call))  # fmt: skip
            self.assertEqual(killed.returncode, -9, killed.stderr)
            self.check("killed", f"call {call} of {total}")
        generator = random.Random(2)
        for number in range(self.RANDOM):
            command = self.command("random", self.users, *self.settings, slots=3)
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(generator.uniform(0.2, 0.9))
            process.kill()
            process.wait()
            self.check("random", f"random kill {number}")

    def test_a_full_disk_keeps_the_state(self) -> None:
        self.train_whole()
        for call in (30, 80):
            full = run(self.command("full", self.users, *self.settings, slots=3), LD_PRELOAD=FAULTS, FAULT_ROOT=str(self.folder), FAULT="ENOSPC", FAULT_STAYS="1", FAULT_AT=str(call))  # fmt: skip
            self.assertEqual(full.returncode, 2, full.stderr)
            self.assertIn("continue with", full.stderr)
            self.check("full", f"full at {call}")

    def test_what_is_not_resumed(self) -> None:
        command = self.command("changed", self.users, *self.settings, slots=3)
        killed = run(command, LD_PRELOAD=FAULTS, FAULT_ROOT=str(self.folder), FAULT="kill", FAULT_AT="60")
        self.assertEqual(killed.returncode, -9)
        self.refused(command, "expected no run there, found one")
        others = [*self.users[:-1], {**self.users[-1], "epochs": 9}]
        self.refused(
            self.command("changed", others, *self.settings, "--resume", slots=3),
            "changed.jsonl: expected the jobs that this fleet began with, found others",
        )
        changed = [*command, "--resume", "--set", "train.epochs=9"]
        self.refused(changed, "expected a checkpoint of this recipe")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
