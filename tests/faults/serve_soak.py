"""A server under everything at once: 64 streams over 64 adapters on 8 places, of several tenants, each compared with what `generate`
answers alone; beside them clients that leave, requests that are malformed or huge, and adapters that are replaced and deleted.

usage: serve_soak.py PROGRAM GENERATION [--seconds 600] [--streams 64]   (GENERATION: the folder that make_generation.py wrote)

Fails on a text that differs, an answer of 500 or more, a server that ends, and memory that grows by more than 5 % after a fifth of the time."""

import argparse
import http.client
import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from support.server import Server, resident_bytes
from support.varied_adapter import write_varied

PROMPTS = ["def main(", "import torch\nfrom", "Größe 漢字 🦜", "a", "  two  blanks", "x = y + 1 # why"]
ADAPTERS, PLACES, NEW = 64, 8, 24
TENANTS = ("anna", "bob", "carl")

JSON_BODIES = [
    b"", b"{", b"null", b"[]", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 5000, b'{"model": NaN}',
    b'{"model": "base"}', b'{"prompt": "a"}', b'{"model": 7, "prompt": "a"}', b'{"model": "base", "prompt": {}}',
    b'{"model": "base", "prompt": [1, "a"]}', b'{"model": "base", "prompt": [-1]}', b'{"model": "base", "prompt": [99999999]}',
    b'{"model": "base", "prompt": "a", "max_tokens": -1}', b'{"model": "base", "prompt": "a", "max_tokens": 1e99}',
    b'{"model": "base", "prompt": "a", "temperature": -3}', b'{"model": "base", "prompt": "a", "n": 100000}',
    b'{"model": "base", "prompt": "a", "top_p": "x"}', b'{"model": "base", "prompt": "a", "stop": [1]}',
    b'{"model": "nobody/nothing", "prompt": "a"}', b'{"model": "1e308*anna/v0 + 1e308*anna/v1", "prompt": "a", "max_tokens": 1}',
    b'{"model": "base", "prompt": "a", "adapter": "AAAA"}', b'{"model": "base", "prompt": "a", "unknown": 1}',
    json.dumps({"model": "base", "prompt": "word " * 100_000}).encode(),
    json.dumps({"model": "m" * 100_000, "prompt": "a"}).encode(),
]  # fmt: skip
HEADS = [
    b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"FOO /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"GET /v1/models/%00%ff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{", b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
]  # fmt: skip


class Soak:
    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.store, self.cache = f"lmdb://{folder / 'store'}", folder / "cache"
        self.lock, self.counts, self.faults = threading.Lock(), Counter(), []
        self.keys, self.files = {}, []

    def run(self, *words: object) -> str:
        done = subprocess.run([self.options.program, *map(str, words)], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def prepare(self) -> None:
        model = self.options.generation
        for i in range(ADAPTERS):
            self.files.append(write_varied(model / "adapter-0.safetensors", self.folder / f"v{i}.safetensors", seed=i))
        for tenant in TENANTS:
            self.run("store", "put", f"{self.store}#{tenant}/", *self.files, "--cache", self.cache)
            made = self.run("key", "create", self.folder / "keys.json", "--tenant", tenant, "--rights", "infer", "manage", "--json")  # fmt: skip
            self.keys[tenant] = json.loads(made)["key"]
        lines = self.folder / "lines.jsonl"
        pairs = [(prompt, i) for i in range(ADAPTERS) for prompt in PROMPTS]
        lines.write_text("".join(json.dumps({"prompt": p, "adapter": f"{self.store}#anna/v{i}"}) + "\n" for p, i in pairs))  # fmt: skip
        told = self.run("generate", "--model", model, "--cache", self.cache, "--input", lines, "--batch", 1, "-n", NEW, "--precision", self.options.precision, "--json")  # fmt: skip
        self.alone = dict(zip(pairs, (json.loads(line)["text"] for line in told.splitlines()), strict=True))

    def count(self, what: str, fault: str = "") -> None:
        with self.lock:
            self.counts[what] += 1
            if fault and len(self.faults) < 20:
                self.faults.append(f"{what}: {fault}")

    def until_the_end(self, work, seed: int) -> threading.Thread:
        draw = random.Random(seed)

        def run() -> None:
            while time.monotonic() < self.end:
                try:
                    work(draw)
                except (OSError, http.client.HTTPException) as error:
                    # A stream may be cut by nobody but its client.
                    self.count("connection", f"{work.__name__}: {error!r}")
                    time.sleep(0.5)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def post(self, tenant: str, body: bytes, path: str = "/v1/completions") -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self.host, timeout=120)
        connection.request("POST", path, body, {"Content-Type": "application/json", "Authorization": f"Bearer {self.keys[tenant]}"})  # fmt: skip
        return connection.getresponse()

    def stream(self, draw: random.Random) -> None:
        tenant, prompt, i = draw.choice(TENANTS), draw.choice(PROMPTS), draw.randrange(ADAPTERS)
        body = {"model": f"{tenant}/v{i}", "prompt": prompt, "max_tokens": NEW, "temperature": 0, "stream": True}
        answer = self.post(tenant, json.dumps(body).encode())
        leaves = draw.randrange(8) if draw.random() < 0.2 else None
        text, whole = "", False
        for n, line in enumerate(answer):
            if n == leaves:
                break
            if line.startswith(b"data: {"):
                text += "".join(choice.get("text", "") for choice in json.loads(line[6:]).get("choices", []))
            whole = whole or line.startswith(b"data: [DONE]")
        answer.close()
        if answer.status != 200:
            return self.count("refused", f"{answer.status} {body} {text}")
        if leaves is not None and not whole:
            return self.count("left")
        expected = self.alone[(prompt, i)]
        self.count("answered", "" if whole and text == expected else f"{body}: {text!r}, alone {expected!r}")

    def malformed(self, draw: random.Random) -> None:
        path = draw.choice(["/v1/completions", "/v1/chat/completions", "/v1/responses", "/v1/classify", "/v1/embeddings", "/tokenize", "/detokenize", "/v1/load_lora_adapter", "/v1/nothing"])  # fmt: skip
        body = draw.choice(JSON_BODIES)
        answer = self.post(draw.choice(TENANTS), body, path)
        answer.read()
        self.count(f"body {answer.status}", "" if answer.status < 500 else f"{path} {body[:100]!r}")
        time.sleep(0.05)

    def raw(self, draw: random.Random) -> None:
        with socket.create_connection(self.host.split(":"), timeout=60) as peer:
            try:
                peer.sendall(draw.choice(HEADS))
                if draw.random() < 0.5:
                    peer.shutdown(socket.SHUT_WR)
                said = peer.recv(200)
            except ConnectionError:
                said = b""
        status = said[9:12].decode(errors="replace")
        self.count(f"head {status}", said.decode(errors="replace") if status.startswith("5") else "")
        time.sleep(0.05)

    def huge(self, draw: random.Random) -> None:
        body = b'{"model": "base", "prompt": "' + b"a" * (9 << 20) + b'"}'
        with socket.create_connection(self.host.split(":"), timeout=60) as peer:
            try:
                peer.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
                peer.sendall(body[: draw.randrange(len(body))])
                said = peer.recv(200)
            except ConnectionError:
                said = b"gone"
        self.count(f"huge {said[9:12].decode(errors='replace')}", said.decode() if said[9:10] == b"5" else "")
        time.sleep(1)

    def replace(self, draw: random.Random) -> None:
        """Others' adapters come, change and go; the bits of those that stream stay, in another version."""
        tenant = draw.choice(TENANTS)
        name, passing = f"{tenant}/v{draw.randrange(ADAPTERS)}", f"{tenant}/passing{draw.randrange(3)}"
        self.run("store", "put", f"{self.store}#{name}", self.files[int(name.rsplit("v", 1)[1])], "--cache", self.cache)
        self.run("store", "put", f"{self.store}#{passing}", draw.choice(self.files), "--cache", self.cache)
        answer = self.post(tenant, json.dumps({"model": passing, "prompt": "a", "max_tokens": 4}).encode())
        answer.read()
        self.count(f"passing {answer.status}", "" if answer.status < 500 else passing)
        connection = http.client.HTTPConnection(self.host, timeout=60)
        connection.request("DELETE", f"/v1/models/{passing}", headers={"Authorization": f"Bearer {self.keys[tenant]}"})
        gone = connection.getresponse()
        gone.read()
        self.count(f"deleted {gone.status}", "" if gone.status < 500 else passing)
        time.sleep(0.5)

    def work(self) -> bool:
        options = self.options
        words = ["--model", options.generation, "--store", self.store, "--cache", self.cache, "--keys", self.folder / "keys.json"]  # fmt: skip
        words += ["--precision", options.precision, "--resident-rows", PLACES, "--sequences", 16, "--memory-gb", 1]
        with Server(options.program, *words) as server:
            self.host = server.url.removeprefix("http://")
            begin = time.monotonic()
            self.end = begin + options.seconds
            threads = [self.until_the_end(self.stream, i) for i in range(options.streams)]
            threads += [self.until_the_end(w, 1000 + i) for i, w in enumerate([self.malformed, self.malformed, self.raw, self.huge, self.replace])]  # fmt: skip
            after_warming, most = 0, 0
            while any(thread.is_alive() for thread in threads) and server.process.poll() is None:
                time.sleep(1)
                most = max(most, resident_bytes(server.process))
                if time.monotonic() < begin + options.seconds / 5:
                    after_warming = most
            for thread in threads:
                thread.join()
            ended = server.process.poll()
        if ended is not None or server.process.returncode != 0:
            self.faults.append(f"the server ended with {server.process.returncode}: {''.join(server.said[-5:])}")
        if most > 1.05 * after_warming:
            self.faults.append(f"memory: {most >> 20} MB, {after_warming >> 20} MB after a fifth of the time")
        told = {"seconds": options.seconds, "megabytes": most >> 20, "warm_megabytes": after_warming >> 20}
        print(json.dumps(told | dict(sorted(self.counts.items()))))
        for fault in self.faults:
            print(fault, file=sys.stderr)
        return not self.faults and self.counts["answered"] > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("generation", type=Path)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--precision", default="float32")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        soak = Soak(options, Path(scratch))
        soak.prepare()
        sys.exit(not soak.work())


if __name__ == "__main__":
    main()
