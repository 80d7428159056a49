"""Two servers on one PostgreSQL store behind Debian's nginx, with deploy/nginx.conf: a new version is everywhere at once, a killed
server is nobody's outage, and a database that goes away and comes back is an error meanwhile and none after. Arguments: PROGRAM, the
folder that make_generation.py wrote. Says so where nginx or PostgreSQL is not installed."""

import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.postgres import Postgres, programs
from support.server import Server
from support.varied_adapter import write_varied

PROGRAM, MODEL = sys.argv[1], Path(sys.argv[2])
BODY = {"prompt": "def main(", "max_tokens": 8, "temperature": 0}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(url: str, model: str) -> tuple[int, str]:
    """Status, and the answer's text or the error's."""
    body = json.dumps(BODY | {"model": model}).encode()
    request = urllib.request.Request(url + "/v1/completions", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)["choices"][0]["text"]
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


@unittest.skipUnless(shutil.which("nginx"), "NOT RUN: nginx is not installed (Debian: nginx-light)")
@unittest.skipUnless(programs(), "NOT RUN: no PostgreSQL server is installed (Debian: postgresql)")
class PairTest(unittest.TestCase):
    def setUp(self) -> None:
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = Path(self.scratch.name)
        self.database = Postgres().__enter__()
        self.files = [
            write_varied(MODEL / "adapter-0.safetensors", self.folder / f"v{i}.safetensors", i) for i in range(3)
        ]
        self.put(self.files[0])
        self.put(self.files[2], "cold")
        words = [
            "--model",
            MODEL,
            "--store",
            self.database.url,
            "--cache",
            self.folder / "cache",
            "--precision",
            "float32",
        ]
        self.servers = [Server(PROGRAM, *words).__enter__() for _ in range(2)]

    def tearDown(self) -> None:
        for server in self.servers:
            server.__exit__()
        self.database.__exit__()
        self.scratch.cleanup()

    def put(self, file: Path, name: str = "v") -> None:
        done = subprocess.run([PROGRAM, "store", "put", f"{self.database.url}#anna/{name}", str(file)], check=False, capture_output=True, text=True)  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)

    def balancer(self) -> str:
        """nginx as deploy/nginx.conf has it, but for the ports; its URL."""
        port = free_port()
        text = Path("deploy/nginx.conf").read_text()
        for theirs, server in zip(("8001", "8002"), self.servers, strict=True):
            text = text.replace(f"127.0.0.1:{theirs}", server.url.removeprefix("http://"))
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
        logs = f"access_log off; error_log {self.folder}/error.log; client_body_temp_path {self.folder}/body;"
        temporary = "".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
        whole = self.folder / "nginx.conf"
        whole.write_text(f"daemon off; pid {self.folder}/pid; events {{}}\nhttp {{ {logs} {temporary}\n{text}\n}}\n")
        self.nginx = subprocess.Popen(["nginx", "-c", str(whole), "-e", str(self.folder / "error.log")])
        self.addCleanup(self.end_nginx)
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(url + "/ready", timeout=5):
                    return url
            except OSError:
                time.sleep(0.05)
        raise AssertionError((self.folder / "error.log").read_text())

    def end_nginx(self) -> None:
        self.nginx.terminate()
        self.nginx.wait()

    def test_two_servers_are_one(self) -> None:
        url = self.balancer()
        first = {ask(url, "anna/v") for _ in range(8)}
        self.assertEqual(len(first), 1)
        self.put(self.files[1])
        second = {ask(server.url, "anna/v") for server in self.servers}  # at once, not within a second
        self.assertEqual(len(second), 1)
        self.assertNotEqual(first, second)
        self.assertEqual({ask(url, "anna/v@1") for _ in range(4)}, first)
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(ask, url, "anna/v") for _ in range(40)]
            time.sleep(0.2)
            self.servers[0].process.kill()
            answers = [each.result() for each in asked]
        # Those that the killed one had begun to answer may be lost; all others are answered, and rightly.
        self.assertEqual({answer for answer in answers if answer[0] == 200}, second)
        self.assertLessEqual(sum(status != 200 for status, _ in answers), 8)
        self.assertEqual({ask(url, "anna/v") for _ in range(8)}, second)
        self.assertTrue(re.search("deny all", Path("deploy/nginx.conf").read_text()))
        with self.assertRaises(urllib.error.HTTPError) as denied:
            urllib.request.urlopen(url + "/metrics", timeout=10)
        self.assertEqual(denied.exception.code, 403)

    def refused_for_now(self, url: str, model: str) -> str:
        """The sentence of a 503 that says when to ask again."""
        body = json.dumps(BODY | {"model": model}).encode()
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(url + "/v1/completions", body), timeout=60)
        self.assertEqual(refused.exception.code, 503)
        self.assertEqual(refused.exception.headers["Retry-After"], "1")
        return json.load(refused.exception)["error"]["message"]

    def soon(self, url: str, model: str, expected: tuple[int, str]) -> None:
        deadline = time.monotonic() + 30
        while ask(url, model) != expected:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)

    def test_a_database_that_hangs_keeps_nobody_from_what_is_in_memory(self) -> None:
        url, hang_s = self.servers[0].url, 6
        there = ["base", "anna/v", "0.5*anna/v + 0.25*anna/v"]
        expected = {model: ask(url, model) for model in there}
        self.assertEqual({status for status, _ in expected.values()}, {200})
        locked = f"BEGIN; LOCK TABLE loraxs_rows; SELECT 'locked'; SELECT pg_sleep({hang_s}); COMMIT"
        hangs = subprocess.Popen([str(programs() / "psql"), "-X", self.database.url, "-c", locked], stdout=subprocess.DEVNULL)  # fmt: skip
        self.addCleanup(hangs.kill)
        time.sleep(0.3)
        stop, refused = time.monotonic() + hang_s - 1.3, []

        def crowd() -> None:
            while time.monotonic() < stop:
                refused.append(ask(url, "anna/cold")[0])
                time.sleep(0.02)

        with ThreadPoolExecutor(8) as pool:
            asking = [pool.submit(crowd) for _ in range(8)]
            seconds = {model: [] for model in there}
            while time.monotonic() < stop:
                for model in there:
                    start = time.monotonic()
                    self.assertEqual(ask(url, model), expected[model])
                    seconds[model].append(time.monotonic() - start)
            for each in asking:
                each.result()
        self.assertEqual(set(refused), {503})
        self.assertGreater(len(refused), 100, "refused at once")
        for model in there:
            self.assertLess(max(seconds[model]), 2.5, "a deadline, and what this machine takes")
            self.assertLess(sorted(seconds[model])[len(seconds[model]) // 2], 0.5)
        self.assertIsNone(hangs.poll(), "the control: it hangs all the time")
        self.refused_for_now(url, "anna/cold")
        hangs.wait()
        self.put(self.files[1])
        newest = ask(self.servers[1].url, "anna/v")
        self.assertNotEqual(newest, expected["anna/v"])
        self.soon(url, "anna/v", newest)
        self.soon(url, "anna/v@1", expected["anna/v"])

    def test_a_database_that_goes_and_comes_back(self) -> None:
        url = self.servers[0].url
        expected = ask(url, "anna/v")
        self.assertEqual(expected[0], 200)
        self.database.stop()
        self.assertNotIn(str(self.database.folder / "data"), self.refused_for_now(url, "anna/cold"))
        for _ in range(10):
            self.assertEqual(ask(url, "anna/v"), expected, "its row is in memory")
        self.assertEqual(ask(url, "base")[0], 200, "the base needs no store")
        self.refused_for_now(self.servers[1].url, "anna/v")  # the control: never asked for there
        self.database.start()
        self.put(self.files[1])
        self.soon(url, "anna/v@1", expected)
        self.soon(self.servers[1].url, "anna/v@1", expected)
        newest = ask(self.servers[1].url, "anna/v")
        self.assertNotEqual(newest, expected)
        self.soon(url, "anna/v", newest)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
