"""Thousands of personal classifiers behind one address: classify.py MODEL [--runs 5] [--heads 10000]. Starts `loraxs serve` on a store of
random adapters with heads (made in --folder, once) and asks /v1/classify from this process on the same cores, 64 requests in flight.

One JSON line each:
  classify   texts a second, each with the next of all stored heads, against `predict` with one adapter; the median ratio over runs that
             take turns. predict's time to start is taken off: what a run of all texts costs beyond a run of one
  load       p95 of requests that arrive at random, at --load of the rate of `classify`, against a batch: 64 texts at that rate
"""

import argparse
import asyncio
import itertools
import json
import random
import re
import selectors
import socket
import statistics
import subprocess
import time
from pathlib import Path

from rates import RANK, Server, bench_parser, fill_store, made_folder, median_ratio, quantile

IN_FLIGHT = 64
WORDS = [
    "the",
    "a",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "lazy",
    "dog",
    "and",
    "then",
    "sleeps",
    "under",
    "an",
    "old",
    "tree",
    "near",
    "river",
]


def texts_of(count: int) -> list[str]:
    """Sentences of 6 to 14 words, as CoLA's are."""
    draw = random.Random(1)
    return [" ".join(draw.choices(WORDS, k=draw.randint(6, 14))) for _ in range(count)]


def make_store(program: str, model: str, folder: Path, heads: int) -> tuple[str, Path]:
    """The URL of a store with so many adapters, t/a0 …, and one of their kind; made where they are not there."""
    first = folder / "first-head.safetensors"
    if not first.exists():
        rows = "".join(f"{text},{'yes' if i % 2 else 'no'}\n" for i, text in enumerate(texts_of(64)))
        (folder / "heads.csv").write_text("text,label\n" + rows)
        data = str(folder / "heads.csv")
        recipe = {
            "model": model, "method": {"rank": RANK, "targets": ["query", "value"]},
            "task": {"name": "classification", "train": data, "validation": data},
            "train": {"max_steps": 1, "batch_size": 4, "max_length": 64}, "output": str(folder / "run-head"),
        }  # fmt: skip
        (folder / "head.yaml").write_text(json.dumps(recipe))
        subprocess.run([program, "train", str(folder / "head.yaml"), "-q"], check=True, stdout=subprocess.DEVNULL)
        first.write_bytes(next((folder / "run-head").rglob("last.safetensors")).read_bytes())
    return fill_store(program, first, folder, f"heads-{heads}", heads), first


def request_of(model: str, text: str) -> bytes:
    body = json.dumps({"model": model, "input": text}).encode()
    head = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


class Asker:
    """A connection that asks one thing after the other."""

    def __init__(self, port: int) -> None:
        self.port, self.writer = port, None

    async def ask(self, model: str, text: str) -> None:
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(request_of(model, text))
        answer = await self.reader.readuntil(b"\r\n\r\n")
        length = next(line for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        said = await self.reader.readexactly(int(length.split(b":")[1]))
        if b" 200 " not in answer.split(b"\r\n", 1)[0]:
            raise RuntimeError(said)

    def close(self) -> None:
        if self.writer:
            self.writer.close()


class Turns:
    """All heads in turn, on and on: each run goes on where the last one ended, so that none finds its own rows in memory."""

    def __init__(self, heads: int) -> None:
        self.heads, self.next = heads, 0

    def take(self) -> str:
        self.next += 1
        return f"t/a{self.next % self.heads}"


def closed_rate(port: int, turns: Turns, texts: list[str]) -> float:
    """Texts a second with IN_FLIGHT requests at a time. Plain sockets: the client takes its time from the same cores."""
    asked = [request_of(turns.take(), text) for text in texts]
    left, ready = iter(asked), selectors.EpollSelector()
    start, open_ = time.perf_counter(), 0
    for request in itertools.islice(left, IN_FLIGHT):
        peer = socket.create_connection(("127.0.0.1", port))
        peer.sendall(request)
        ready.register(peer, selectors.EVENT_READ)
        open_ += 1
    while open_:
        for key, _ in ready.select():
            peer = key.fileobj
            answer = peer.recv(1 << 16)
            head, _, said = answer.partition(b"\r\n\r\n")
            length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
            while len(said) < length:
                said += peer.recv(1 << 16)
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(answer)
            if (request := next(left, None)) is not None:
                peer.sendall(request)
                continue
            ready.unregister(peer)
            peer.close()
            open_ -= 1
    return len(texts) / (time.perf_counter() - start)


async def open_times(port: int, turns: Turns, texts: list[str], rate: float) -> list[float]:
    """Milliseconds of each of `texts`, which arrive at random, `rate` a second, whoever still waits."""
    draw, free, times = random.Random(2), [], []

    async def one(text: str, due: float) -> None:
        asker = free.pop() if free else Asker(port)
        await asker.ask(turns.take(), text)
        times.append(1000 * (time.perf_counter() - due))
        free.append(asker)

    due, asked = time.perf_counter(), []
    for text in texts:
        due += draw.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        asked.append(asyncio.create_task(one(text, due)))
    await asyncio.gather(*asked)
    for asker in free:
        asker.close()
    return times


def predict_rate(options: argparse.Namespace, folder: Path, adapter: Path, texts: list[str]) -> float:
    seconds = []
    for part in (texts[:1], texts):
        lines = folder / "texts.txt"
        lines.write_text("".join(text + "\n" for text in part))
        words = [options.program, "predict", "--model", options.model, "--adapter", str(adapter), "--input", str(lines)]
        start = time.perf_counter()
        subprocess.run([*words, "--precision", options.precision, "--json"], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return (len(texts) - 1) / (seconds[1] - seconds[0])


def main() -> None:
    parser = bench_parser(__doc__)
    parser.add_argument("--heads", type=int, default=10_000)
    parser.add_argument("--texts", type=int, default=4000, help="of a run")
    parser.add_argument("--load", type=float, default=0.7)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--resident-mb", type=int, default=64, help="of loraxs serve: less than all heads take")
    options = parser.parse_args()
    folder = made_folder(options)
    url, first = make_store(options.program, options.model, folder, options.heads)
    texts, turns, rates = texts_of(options.texts), Turns(options.heads), []
    words = ["--model", options.model, "--store", url, "--precision", options.precision, "--max-waiting", 4096]
    with Server(options.program, *words, "--resident-mb", options.resident_mb) as server:
        port = int(server.url.rsplit(":", 1)[1])

        def over_http() -> float:
            rates.append(closed_rate(port, turns, texts))
            return rates[-1]

        over_http()
        in_process = lambda: predict_rate(options, folder, first, texts)
        median_ratio("classify", options.runs, over_http, in_process, "texts/s")
        rate = statistics.median(rates[1:])
        times = asyncio.run(open_times(port, turns, texts, options.load * rate))
    batch_ms = 1000 * IN_FLIGHT / rate
    p50, p95 = (quantile(times, q) for q in (0.5, 0.95))
    told = {"name": "load", "load": options.load, "batches": round(p95 / batch_ms, 2), "p50_ms": round(p50, 2), "p95_ms": round(p95, 2), "batch_ms": round(batch_ms, 2)}  # fmt: skip
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
