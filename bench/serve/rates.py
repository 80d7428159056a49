"""What a server costs and what adapters cost in it: rates.py MODEL [--runs 5] [--adapters 64] [--only NAME…]. Starts `loraxs serve` on
a store of random adapters of rank 16 on all linear modules (made in --folder, once) and streams from this process on the same cores.

Each line is a ratio of two workloads that take turns within one run, the median over runs, with both rates:
  adapters64   64 streams with an adapter each against 64 on the base
  adapters16   16 with 16
  turns        64 streams over all stored adapters in turn (--adapters 10000) against one adapter for all
  http         16 streams over HTTP against `generate` in process, prompts included; --gap-ms 0, which `generate` has
  cold         milliseconds to the first token, p50 and p99: adapters never asked for before against one that is resident
  gap          p99 of the time between two tokens of 8 streams while prompts of --long tokens arrive, one after the other, against without
  idle         the same while 2,000 connections say nothing, 50 send a byte a second and 50 do not read
  tenants      p95 of a request a second for --seconds while another tenant sends --flood at once, against alone; and the
               flood's answers a second in that time, against without the one
"""

import argparse
import asyncio
import itertools
import json
import math
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from support.server import Server
from support.varied_adapter import write_varied

PROMPT_TOKENS, NEW_TOKENS, RANK = 32, 64, 16


def make_store(program: str, model: str, folder: Path, adapters: int) -> str:
    """The URL of a store with so many adapters, t/a0 …; made where it is not there."""
    first = folder / "first.safetensors"
    if not first.exists():
        (folder / "text.txt").write_text("To be, or not to be: that is the question.\n" * 40)
        recipe = {
            "model": model, "method": {"rank": RANK, "targets": ["all-linear"]}, "task": {"name": "text", "train": str(folder / "text.txt")},
            "train": {"max_steps": 1, "batch_size": 1, "max_length": 64}, "output": str(folder / "run"),
        }  # fmt: skip
        (folder / "recipe.yaml").write_text(json.dumps(recipe))
        subprocess.run([program, "train", str(folder / "recipe.yaml"), "-q"], check=True, stdout=subprocess.DEVNULL)
        first.write_bytes((folder / "run/seed-0/last.safetensors").read_bytes())
    return fill_store(program, first, folder, f"store-{adapters}", adapters)


def fill_store(program: str, first: Path, folder: Path, name: str, adapters: int) -> str:
    """The URL of a store in `folder` with so many adapters like `first`, t/a0 …; made where it is not whole."""
    url, whole = f"lmdb://{folder / name}", folder / f"{name}.whole"
    if whole.exists():
        return url
    batch = 200
    for begin in range(0, adapters, batch):
        files = [
            write_varied(first, folder / f"a{i}.safetensors", i, 0.02)
            for i in range(begin, min(begin + batch, adapters))
        ]
        subprocess.run(
            [program, "store", "put", f"{url}#t/", *map(str, files), "-q"], check=True, stdout=subprocess.DEVNULL
        )
        for file in files:
            file.unlink()
    whole.touch()
    return url


class Stream:
    """One streamed completion, read as it comes: arrival of each piece, tokens in the end."""

    def __init__(self, port: int, model: str, prompt: list[int], new: int = NEW_TOKENS) -> None:
        self.port, self.model, self.prompt, self.new = port, model, prompt, new
        self.arrivals, self.tokens = [], 0

    async def run(self) -> "Stream":
        body = {
            "model": self.model, "prompt": self.prompt, "max_tokens": self.new, "temperature": 0, "stream": True,
            "ignore_eos": True, "stream_options": {"include_usage": True},
        }  # fmt: skip
        text = json.dumps(body).encode()
        self.start = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        try:
            await self.read(reader, writer, text)
        finally:
            writer.close()
        return self

    async def read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> None:
        writer.write(
            b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % len(text)
            + text
        )
        status = await reader.readline()
        if b" 200 " not in status:
            raise RuntimeError(status + await reader.read(2000))
        while line := await reader.readline():
            if not line.startswith(b"data: {"):
                if line.startswith(b"data: [DONE]"):
                    break
                continue
            self.arrivals.append(time.perf_counter())
            if b'"usage":{' in line:
                self.tokens = json.loads(line[6:])["usage"]["completion_tokens"]
                self.arrivals.pop()


async def post(port: int, body: dict, key: str) -> None:
    """One completion that is not streamed."""
    text = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % (key.encode(), len(text)) + text)
        answer = await reader.read()
        if b" 200 " not in answer.split(b"\r\n", 1)[0]:
            raise RuntimeError(answer)
    finally:
        writer.close()


def prompt_of(seed: int, tokens: int = PROMPT_TOKENS) -> list[int]:
    return [100 + (seed * 7919 + i * 104729) % 40000 for i in range(tokens)]


async def rate(port: int, models: list[str], streams: int, requests: int) -> float:
    """Tokens a second of `requests` streams, so many at a time, the models in turn."""
    start, gate, tokens = time.perf_counter(), asyncio.Semaphore(streams), 0

    async def one(i: int) -> int:
        async with gate:
            return (await Stream(port, models[i % len(models)], prompt_of(i)).run()).tokens

    tokens = sum(await asyncio.gather(*(one(i) for i in range(requests))))
    return tokens / (time.perf_counter() - start)


async def crowd(port: int) -> None:
    """2,000 connections that say nothing, 50 that send a byte a second, 50 that ask for much and do not read."""
    connect = lambda: asyncio.open_connection("127.0.0.1", port, limit=1024)
    silent = [(await connect())[1] for _ in range(2000)]
    deaf = [(await connect())[1] for _ in range(50)]
    for writer in deaf:
        writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
    try:
        while True:
            slow = [(await connect())[1] for _ in range(50)]  # anew where the server has closed them
            for letter in b"POST /v1":  # within the time that a head has
                for writer in slow:
                    writer.write(bytes([letter]))
                await asyncio.sleep(1)
            for writer in slow:
                writer.close()
    finally:
        for writer in silent + deaf:
            writer.close()


def gaps_beside(port: int, names: list[str], others):
    """Two measurements: the p99 of milliseconds between two tokens of 8 streams beside `others` and without."""

    async def gaps(with_others: bool) -> float:
        beside = [asyncio.create_task(others())] if with_others else []
        if with_others:
            await asyncio.sleep(3)
        done = await asyncio.gather(*(Stream(port, names[i], prompt_of(i), 256).run() for i in range(8)))
        for task in beside:
            if task.done():
                task.result()  # its failure
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        arrivals = [stream.arrivals[8:] for stream in done]
        return quantile([1000 * (b - a) for each in arrivals for a, b in itertools.pairwise(each)], 0.99)

    return (lambda: asyncio.run(gaps(True))), (lambda: asyncio.run(gaps(False)))


def quantile(values: list[float], q: float) -> float:
    """By nearest rank: of 20 values the 95th percentile is the 19th."""
    return sorted(values)[max(0, math.ceil(q * len(values)) - 1)]


def median_ratio(name: str, runs: int, first, second, unit: str = "tokens/s") -> None:
    """Pairs of `first` and `second`, taking turns; prints the median ratio and both medians."""
    pairs = []
    for i in range(runs):
        order = (first, second) if i % 2 == 0 else (second, first)
        values = [measure() for measure in order]
        pairs.append(tuple(values if i % 2 == 0 else values[::-1]))
    ratios = sorted(a / b for a, b in pairs)
    print(json.dumps({"name": name, "ratio": round(statistics.median(ratios), 3), "ratios": [round(r, 3) for r in ratios],
                      "first": round(statistics.median(a for a, _ in pairs), 2), "second": round(statistics.median(b for _, b in pairs), 2), "unit": unit}), flush=True)  # fmt: skip


def bench_parser(description: str) -> argparse.ArgumentParser:
    """What every benchmark of a server is asked with."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--program", default="build/loraxs")
    parser.add_argument("--folder", default=str(Path(tempfile.gettempdir()) / "loraxs-serve-bench"))
    parser.add_argument("--runs", type=int, default=5)
    return parser


def made_folder(options: argparse.Namespace) -> Path:
    folder = Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main() -> None:
    parser = bench_parser(__doc__)
    parser.add_argument("--adapters", type=int, default=1000)
    parser.add_argument("--long", type=int, default=2000)
    parser.add_argument("--flood", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=500, help="of cold")
    parser.add_argument("--seconds", type=int, default=20, help="of tenants")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--gap-ms", default="20", help="of loraxs serve")
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    folder = made_folder(options)
    url = make_store(options.program, options.model, folder, options.adapters)
    names = [f"t/a{i}" for i in range(options.adapters)]
    wanted = lambda name: not options.only or name in options.only
    words = [
        "--model",
        options.model,
        "--store",
        url,
        "--precision",
        options.precision,
        "--max-waiting",
        4096,
        "--sequences",
        64,
    ]
    with Server(options.program, *words, "--gap-ms", options.gap_ms) as server:
        port = int(server.url.rsplit(":", 1)[1])

        def of(models: list[str], streams: int, requests: int):
            return lambda: asyncio.run(rate(port, models, streams, requests))

        of(["base"], 8, 8)()
        if wanted("adapters64"):
            median_ratio("adapters64", options.runs, of(names[:64], 64, 64), of(["base"], 64, 64))
        if wanted("adapters16"):
            median_ratio("adapters16", options.runs, of(names[:16], 16, 16), of(["base"], 16, 16))
        if wanted("turns"):
            turns = itertools.cycle(names)  # a run goes on where the last one ended: none finds its own rows in memory
            next_ones = lambda: of(list(itertools.islice(turns, 128)), 64, 128)()
            median_ratio("turns", options.runs, next_ones, of(names[:1], 64, 128))
        if wanted("cold"):
            first = lambda name, i: asyncio.run(Stream(port, name, prompt_of(i), 1).run())
            times = {"cold": [], "warm": []}
            for i in range(min(options.pairs, options.adapters - 64)):
                for kind, name in (("cold", names[64 + i]), ("warm", names[0])):
                    stream = first(name, i)
                    times[kind].append(1000 * (stream.arrivals[0] - stream.start))
            print(
                json.dumps(
                    {
                        "name": "cold",
                        **{
                            f"{kind}_{label}_ms": round(quantile(values, q), 2)
                            for kind, values in times.items()
                            for label, q in (("p50", 0.5), ("p99", 0.99))
                        },
                    }
                ),
                flush=True,
            )
        if wanted("gap"):
            unheard = itertools.count(99)  # no prompt is found in the prefix cache

            async def prompts() -> None:
                await asyncio.sleep(1.5)
                while True:
                    await Stream(port, "base", prompt_of(next(unheard), options.long), 1).run()

            median_ratio("gap", options.runs, *gaps_beside(port, names, prompts), "ms, p99")
        if wanted("idle"):
            median_ratio("idle", options.runs, *gaps_beside(port, names, lambda: crowd(port)), "ms, p99")
    if wanted("http"):
        over_http(options, words, folder)
    if wanted("tenants"):
        tenants(options, url, names[0])


def over_http(options: argparse.Namespace, words: list, folder: Path) -> None:
    lines = folder / "lines.jsonl"
    lines.write_text("".join(json.dumps({"prompt": f"{'so many words are here ' * 6}{i}"}) + "\n" for i in range(16)))

    def in_process() -> float:
        """generate's own rates, for as many tokens of prompts and answers as the streams have."""
        words = [options.program, "generate", "--model", options.model, "--input", str(lines), "--batch", "16", "-n", str(NEW_TOKENS), "--ignore-eos"]  # fmt: skip
        told = subprocess.run(words, check=True, capture_output=True, text=True).stderr
        prompt, answer = (float(re.search(rf"{kind}_tokens_per_second=([\d.]+)", told)[1]) for kind in ("prompt", "answer"))  # fmt: skip
        return 16 * NEW_TOKENS / (16 * PROMPT_TOKENS / prompt + 16 * (NEW_TOKENS - 1) / answer)

    with Server(options.program, *words, "--gap-ms", 0) as server:
        port = int(server.url.rsplit(":", 1)[1])
        asyncio.run(rate(port, ["base"], 8, 8))
        streams = lambda: asyncio.run(rate(port, ["base"], 16, 16))
        median_ratio("http", options.runs, streams, in_process)


def tenants(options: argparse.Namespace, url: str, name: str) -> None:
    """Two tenants with keys; the flood is the second's."""
    with tempfile.TemporaryDirectory() as scratch:
        keys = Path(scratch) / "keys.json"
        made = [
            subprocess.run(
                [options.program, "key", "create", str(keys), "--tenant", t, "--json"],
                check=True,
                capture_output=True,
                text=True,
            )
            for t in ("t", "flood")
        ]
        mine, theirs = (json.loads(m.stdout)["key"] for m in made)
        with Server(
            options.program,
            "--model",
            options.model,
            "--store",
            url,
            "--precision",
            options.precision,
            "--keys",
            keys,
            "--max-waiting",
            4096,
            "--gap-ms",
            options.gap_ms,
        ) as server:
            port = int(server.url.rsplit(":", 1)[1])
            body = {"model": name, "prompt": prompt_of(1), "max_tokens": 16, "temperature": 0, "ignore_eos": True}

            async def ask(key: str, model: str, i: int, ended: list[float]) -> None:
                start = time.perf_counter()
                await post(port, body | {"model": model, "prompt": prompt_of(i)}, key)
                ended.append(1000 * (time.perf_counter() - start))

            async def beside(one: bool, flood: bool) -> tuple[list[float], list[float]]:
                """Milliseconds of the one's requests, and of those of the flood that ended in these seconds."""
                times, flooded = [], []
                others = [
                    asyncio.create_task(ask(theirs, "base", i, flooded)) for i in range(options.flood if flood else 0)
                ]
                asked = []
                for i in range(options.seconds):
                    if one:
                        asked.append(asyncio.create_task(ask(mine, name, 5000 + i, times)))
                    await asyncio.sleep(1)
                await asyncio.gather(*asked)
                ended = list(flooded)
                for other in others:
                    if other.done():
                        other.result()  # its failure
                    other.cancel()
                await asyncio.gather(*others, return_exceptions=True)
                await asyncio.sleep(1)  # the server sees that they are gone
                return times, ended

            asyncio.run(beside(one=True, flood=False))
            floods, medians = {True: [], False: []}, {True: [], False: []}

            def latency(flood: bool) -> float:
                times, ended = asyncio.run(beside(one=True, flood=flood))
                if flood:
                    floods[True].append(len(ended) / options.seconds)
                    floods[False].append(len(asyncio.run(beside(one=False, flood=True))[1]) / options.seconds)
                medians[flood].append(quantile(times, 0.5))
                return quantile(times, 0.95)

            median_ratio("tenants", options.runs, lambda: latency(True), lambda: latency(False), "ms, p95")
            beside_one, alone = (statistics.median(floods[k]) for k in (True, False))
            told = {
                "name": "flood",
                "p50_ms": {
                    "beside": round(statistics.median(medians[True]), 1),
                    "alone": round(statistics.median(medians[False]), 1),
                },
                "ratio": round(beside_one / alone, 3),
                "first": beside_one,
                "second": alone,
                "unit": "answers/s",
            }
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
