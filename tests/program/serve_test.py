"""`loraxs serve` as clients meet it: OpenAI's own Python client, unchanged, and plain requests. What it answers is what
`generate` and `predict` answer alone. Arguments: PROGRAM, the folder that make_generation.py wrote."""

import base64
import http.client
import json
import os
import random
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

import openai
from support.server import Server, check_page, resident_bytes
from support.varied_adapter import write_varied

PROGRAM, MODEL = sys.argv[1], Path(sys.argv[2])
ADAPTERS, NEW = 24, 12
CPU = Path("/proc/cpuinfo").read_text()
NODE_CLIENT = "openai@7.59.0"
PROMPTS = ["def main(", "import torch\nfrom", "Größe 漢字 🦜", "a", "  two  blanks", "x = y + 1 # why"]


def run(*words: object) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [PROGRAM, *map(str, words)],
        check=False, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def texts_alone(rows: list[dict], *more: object, precision: str = "float32") -> list[str]:
    """What `generate` answers to lines, one after the other."""
    path = FOLDER / "lines.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run("generate", "--model", MODEL, "--cache", CACHE, "--input", path, "--batch", 1, "-n", NEW, "--precision", precision, "--json", *more)  # fmt: skip
    return [json.loads(line)["text"] for line in done.stdout.splitlines()]


def reference(name: str) -> str:
    return f"{STORE}#{name}"


def check_mixed_batch(test: unittest.TestCase, complete: Callable[[str, str], str], precision: str) -> None:
    """All adapters at once, each as `generate` answers it alone; with adapters exchanged as control."""
    names = ["base"] + [f"anna/v{i}" for i in range(ADAPTERS)]
    rows = [(PROMPTS[i % len(PROMPTS)], name) for i, name in enumerate(names)]
    with ThreadPoolExecutor(len(rows)) as pool:
        together = list(pool.map(lambda row: complete(*row), rows))
    lines = [{"prompt": p} | ({} if n == "base" else {"adapter": reference(n)}) for p, n in rows]
    test.assertEqual(together, texts_alone(lines, precision=precision))
    rotated = [{"prompt": p, "adapter": reference(f"anna/v{(i + 1) % ADAPTERS}")} for i, (p, _) in enumerate(rows)]
    wrong = texts_alone(rotated, precision=precision)
    test.assertGreater(sum(x != y for x, y in zip(wrong, together, strict=True)), ADAPTERS * 3 // 4)


class DecoderTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        words = ["--model", MODEL, "--store", STORE, "--cache", CACHE, "--precision", "float32", "--keys", KEYS]
        cls.server = Server(PROGRAM, *words, "--sequences", 16, key=KEY["anna"]).__enter__()
        cls.client = openai.OpenAI(base_url=cls.server.url + "/v1", api_key=KEY["anna"], max_retries=0)
        cls.other = openai.OpenAI(base_url=cls.server.url + "/v1", api_key=KEY["bob"], max_retries=0)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.__exit__()

    def complete(self, prompt: str, model: str, **more: object) -> str:
        return self.client.completions.create(model=model, prompt=prompt, max_tokens=NEW, temperature=0, **more).choices[0].text  # fmt: skip

    def test_a_mixed_batch_answers_as_each_alone(self) -> None:
        check_mixed_batch(self, self.complete, "float32")

    @unittest.skipUnless("avx512_bf16" in CPU, "NOT RUN: this CPU has no AVX-512 for bfloat16")
    def test_a_mixed_batch_in_bfloat16_answers_as_each_alone(self) -> None:
        words = ["--model", MODEL, "--store", STORE, "--cache", CACHE, "--precision", "bfloat16", "--sequences", 16]
        with Server(PROGRAM, *words) as server:
            client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
            complete = lambda prompt, model: client.completions.create(model=model, prompt=prompt, max_tokens=NEW, temperature=0).choices[0].text  # fmt: skip
            check_mixed_batch(self, complete, "bfloat16")

    def test_draws_and_chats_are_those_of_generate(self) -> None:
        name = "anna/v1"
        drawn = self.client.completions.create(model=name, prompt=PROMPTS[0], max_tokens=NEW, temperature=0.8, top_p=0.9, seed=3)  # fmt: skip
        alone = texts_alone([{"prompt": PROMPTS[0], "adapter": reference(name)}], "--temperature", 0.8, "--top-p", 0.9, "--seed", 3)  # fmt: skip
        self.assertEqual([drawn.choices[0].text], alone)
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}]
        chat = self.client.chat.completions.create(model=name, messages=messages, max_tokens=NEW, temperature=0)
        self.assertEqual(
            [chat.choices[0].message.content], texts_alone([{"messages": messages, "adapter": reference(name)}])
        )
        self.assertEqual(chat.usage.total_tokens, chat.usage.prompt_tokens + chat.usage.completion_tokens)

    def test_a_stream_is_the_same_text(self) -> None:
        messages = [{"role": "user", "content": "Größe 漢字 🦜"}]
        ask = {"model": "anna/v2", "messages": messages, "max_tokens": NEW, "temperature": 0}
        whole = self.client.chat.completions.create(**ask)
        pieces, usage, reasons = [], None, []
        for chunk in self.client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                pieces.append(choice.delta.content or "")
                reasons += [choice.finish_reason] if choice.finish_reason else []
        self.assertEqual("".join(pieces), whole.choices[0].message.content)
        self.assertEqual(reasons, [whole.choices[0].finish_reason])
        self.assertEqual(usage.completion_tokens, whole.usage.completion_tokens)

    def test_only_the_engine_has_workers(self) -> None:
        """OpenMP counts those of every thread that has computed, and beyond the number of cores all of them sleep between two tasks."""
        words = ["--model", MODEL, "--store", STORE, "--cache", CACHE, "--precision", "float32"]
        with patch.dict(os.environ, OMP_NUM_THREADS="2"), Server(PROGRAM, *words) as server:
            threads = lambda: len(list(Path(f"/proc/{server.process.pid}/task").iterdir()))
            ask = {"prompt": "a", "max_tokens": 2}
            self.assertEqual(server.ask("POST", "/v1/completions", ask | {"model": "base"})[0], 200)
            before = threads()
            along = base64.b64encode(FILES[3].read_bytes()).decode()
            for more in (
                {"model": "anna/v0"},
                {"model": "0.5*anna/v1 + 0.5*anna/v2"},
                {"model": "base", "adapter": along},
            ):
                self.assertEqual(server.ask("POST", "/v1/completions", ask | more)[0], 200)
            self.assertEqual(threads(), before)

    def test_several_answers_stop_strings_and_log_probabilities(self) -> None:
        ask = {"model": "anna/v3", "prompt": PROMPTS[1], "max_tokens": NEW, "temperature": 0.9, "seed": 5}
        many = self.client.completions.create(**ask, n=3)
        self.assertEqual([choice.index for choice in many.choices], [0, 1, 2])
        self.assertEqual(many.choices[0].text, self.client.completions.create(**ask).choices[0].text)
        self.assertGreater(len({choice.text for choice in many.choices}), 1)
        text = self.complete(PROMPTS[0], "anna/v3")
        cut = text[3:5]
        self.assertEqual(self.complete(PROMPTS[0], "anna/v3", stop=cut), text[: text.index(cut)])
        scored = self.client.completions.create(model="anna/v3", prompt=PROMPTS[0], max_tokens=4, temperature=0, logprobs=2, echo=True)  # fmt: skip
        told = scored.choices[0].logprobs
        self.assertTrue(scored.choices[0].text.startswith(PROMPTS[0]))
        self.assertEqual(len(told.tokens), len(told.token_logprobs))
        self.assertIsNone(told.token_logprobs[0])
        self.assertTrue(all(value <= 0 for value in told.token_logprobs[1:]))

    def test_sums_and_adapters_that_come_along(self) -> None:
        expression = "0.5*anna/v0 + 0.5*anna/v1"
        parts = [reference(f"anna/v{i}") for i in (0, 1)]
        alone = texts_alone([{"prompt": PROMPTS[0], "adapter": f"0.5*{parts[0]} + 0.5*{parts[1]}"}])
        self.assertEqual([self.complete(PROMPTS[0], expression)], alone)
        file = FILES[5]
        mine = self.complete(PROMPTS[0], "base", extra_body={"adapter": base64.b64encode(file.read_bytes()).decode()})
        self.assertEqual([mine], texts_alone([{"prompt": PROMPTS[0], "adapter": str(file)}]))
        self.assertNotEqual(mine, self.complete(PROMPTS[0], "base"))
        damaged = bytearray(file.read_bytes())
        damaged[-1] ^= 1
        with self.assertRaises(openai.BadRequestError) as refused:
            self.complete(PROMPTS[0], "base", extra_body={"adapter": base64.b64encode(damaged).decode()})
        self.assertIn("digest", str(refused.exception))

    def test_factors_of_a_sum_that_are_too_large_are_named(self) -> None:
        for expression, said in (
            ("1e999*anna/v0", '"1e999"'),
            ("0.5*anna/v1 + nan*anna/v0", '"nan"'),
            ("0.5*anna/v1 + 1e39*anna/v0", "1e+39 of anna/v0"),
            ("0.5*anna/v1 + 3e38*anna/v0 + 3e38*anna/v0", "3e+38 of anna/v0@1"),  # too large as a row
            ("0.5*anna/v1 - 1e30*anna/v0", "1e+30 of anna/v0@1"),  # too large in the model
        ):
            body = {"model": expression, "prompt": PROMPTS[0], "max_tokens": 4}
            status, answer = self.server.ask("POST", "/v1/completions", body)
            self.assertEqual((status, answer["error"]["param"]), (400, "model"), (expression, answer))
            self.assertIn(said, answer["error"]["message"])
        self.assertTrue(self.complete(PROMPTS[0], "3*anna/v0 - 2*anna/v1"))

    def test_equal_rows_of_another_alpha_are_another_model(self) -> None:
        """In one bank, whose places are found by what a row is, and in the cache of prompts."""
        like, prompt = MODEL / "adapter-0.safetensors", PROMPTS[0] * 12
        for name, alpha in (("quiet", "4"), ("loud", "12")):
            run("store", "put", reference(f"anna/{name}"), write_varied(like, FOLDER / f"{name}.safetensors", 77, alpha=alpha), "--cache", CACHE)  # fmt: skip
        names = ["anna/quiet", "anna/loud", "anna/quiet", "anna/loud"]
        found = [self.complete(prompt, name) for name in names]
        self.assertEqual(found, texts_alone([{"prompt": prompt, "adapter": reference(name)} for name in names]))
        self.assertNotEqual(found[0], found[1])

    def test_models_are_the_tenants_own(self) -> None:
        mine = {model.id for model in self.client.models.list()}
        self.assertEqual(
            mine, {"base"} | {f"anna/v{i}" for i in range(ADAPTERS)} | (mine & {"anna/quiet", "anna/loud"})
        )
        self.assertEqual({model.id for model in self.other.models.list()}, {"base", "bob/own"})
        one = self.client.models.retrieve("anna/v3")
        self.assertEqual(one.id, "anna/v3")
        errors = []
        for name in ("anna/v3", "anna/never"):
            with self.assertRaises(openai.NotFoundError) as unknown:
                self.other.completions.create(model=name, prompt="a")
            errors.append(str(unknown.exception).replace(name, "NAME"))
        self.assertEqual(*errors)
        with self.assertRaises(openai.NotFoundError) as near:
            self.client.completions.create(model="anna/w3", prompt="a")
        self.assertIn("anna/v", str(near.exception))
        with self.assertRaises(openai.AuthenticationError):
            openai.OpenAI(base_url=self.server.url + "/v1", api_key="lxs_wrong", max_retries=0).models.list()

    def test_versions_replacement_and_deletion(self) -> None:
        name = "anna/changing"
        run("store", "put", reference(name), FILES[6], "--cache", CACHE)
        first = self.complete(PROMPTS[0], name)
        run("store", "put", reference(name), FILES[7], "--cache", CACHE)
        second = self.complete(PROMPTS[0], name)
        self.assertEqual(
            [first, second], texts_alone([{"prompt": PROMPTS[0], "adapter": str(FILES[i])} for i in (6, 7)])
        )
        self.assertEqual(self.complete(PROMPTS[0], name + "@1"), first)
        self.assertTrue(self.client.models.delete(name).deleted)
        with self.assertRaises(openai.NotFoundError):
            self.complete(PROMPTS[0], name)

    def test_a_client_that_goes_frees_its_place(self) -> None:
        stream = self.client.completions.create(model="anna/v0", prompt="a", max_tokens=500, stream=True, extra_body={"ignore_eos": True}, temperature=0)  # fmt: skip
        next(iter(stream))
        stream.close()
        self.wait_until_idle()
        self.assertEqual(
            self.complete("a", "anna/v0"), texts_alone([{"prompt": "a", "adapter": reference("anna/v0")}])[0]
        )

    def wait_until_idle(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            status, text = self.server.ask("GET", "/metrics", key=KEY["operator"])
            self.assertEqual(status, 200)
            if "loraxs_requests_running 0" in text["text"]:
                return
            time.sleep(0.05)
        self.fail("the request still runs")

    @unittest.skipUnless(shutil.which("npm"), "NOT RUN: npm is not installed")
    def test_openais_client_for_node(self) -> None:
        place = FOLDER / "node"
        place.mkdir()
        (place / "package.json").write_text("{}")
        installed = subprocess.run(["npm", "install", "--silent", NODE_CLIENT], cwd=place, check=False, capture_output=True, timeout=200)  # fmt: skip
        if installed.returncode != 0:
            self.skipTest(f"NOT RUN: npm cannot install {NODE_CLIENT}")
        script = place / "openai_client.mjs"
        script.write_text(Path("tests/program/openai_client.mjs").read_text())
        done = subprocess.run(["node", script, self.server.url, KEY["anna"], "anna/v1"], check=False, capture_output=True, text=True, timeout=100)  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        told = json.loads(done.stdout)
        self.assertEqual(told["text"], told["streamed"])
        messages = [{"role": "user", "content": "Who?"}]
        self.assertEqual([told["text"]], texts_alone([{"messages": messages, "adapter": reference("anna/v1")}]))
        self.assertIn("anna/v3", told["models"])
        self.assertEqual(told["refused"], 404)

    def test_the_page(self) -> None:
        (FOLDER / "pictures").mkdir()
        check_page(self, self.server, FOLDER / "pictures")

    def test_bad_requests_say_what_is_wrong(self) -> None:
        for body, status, said in (
            ({"model": "base"}, 400, "prompt"),
            ({"model": "base", "prompt": "a", "temperature": "hot"}, 400, "temperature"),
            ({"model": "base", "prompt": "a", "n": 9, "temperature": 1}, 400, "n"),
            ({"model": "base", "prompt": "a", "top_p": 0}, 400, "top_p"),
            ({"model": "base", "prompt": "a", "temprature": 1}, 400, "temperature"),
            ({"model": "base", "prompt": "a" * 40_000}, 400, "context"),
            ({"model": "base", "prompt": [10**6]}, 400, "token"),
            ({"model": "base", "prompt": "a", "logit_bias": {"1000000": 5}}, 400, "logit_bias"),
            (b'{"model": "base", "prompt": "a", "prompt": "b"}', 400, "prompt"),
            (b"[" * 200 + b"]" * 200, 400, "deep"),
            (b'{"model": "base", "prompt": "\xff"}', 400, "UTF-8"),
        ):
            found, answer = self.server.ask("POST", "/v1/completions", body)
            self.assertEqual(found, status, (body if len(body) < 300 else "", answer))
            self.assertIn(said, answer["error"]["message"] + str(answer["error"]["param"]))
        for path, status in (("/v1/nothing", 404), ("/v1/chat/completions", 405), ("/../etc/passwd", 404)):
            self.assertEqual(self.server.ask("GET", path)[0], status)
        self.assertEqual(self.server.ask("TRACE", "/health")[0], 405)
        self.assertEqual(self.server.ask("GET", "/v1/models?after=%C2%84")[1]["error"]["param"], "after")
        self.assertEqual(self.server.ask("POST", "/v1/embeddings", {"model": "base", "input": "a"})[0], 400)
        tools = {"model": "base", "messages": [{"role": "user", "content": "a"}], "tools": [{"type": "function", "function": {"name": "f"}}]}  # fmt: skip
        self.assertEqual(self.server.ask("POST", "/v1/chat/completions", tools)[1]["error"]["param"], "tools")


class CrowdTest(unittest.TestCase):
    """Few places, many adapters: each stream is its own solo run whoever comes, goes and is deleted."""

    def test_streams_on_a_bank_of_four_rows(self) -> None:
        words = ["--model", MODEL, "--store", STORE, "--cache", CACHE, "--precision", "float32"]
        with Server(PROGRAM, *words, "--resident-rows", 4, "--sequences", 8, "--memory-gb", 1) as server:
            client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=300)
            pairs = [(prompt, i) for i in range(ADAPTERS) for prompt in PROMPTS[:3]]
            alone = dict(zip(pairs, texts_alone([{"prompt": p, "adapter": reference(f"anna/v{i}")} for p, i in pairs]), strict=True))  # fmt: skip
            random.Random(1).shuffle(pairs)

            def stream(pair: tuple[str, int]) -> str:
                answer = client.completions.create(model=f"anna/v{pair[1]}", prompt=pair[0], max_tokens=NEW, temperature=0, stream=True)  # fmt: skip
                return "".join(chunk.choices[0].text for chunk in answer if chunk.choices)

            stop = threading.Event()

            def disturb() -> None:
                for round_ in range(10**6):
                    if stop.is_set():
                        return
                    run(
                        "store",
                        "put",
                        reference(f"zoe/passing{round_ % 3}"),
                        FILES[round_ % ADAPTERS],
                        "--cache",
                        CACHE,
                    )
                    server.ask("POST", "/v1/completions", {"model": f"zoe/passing{round_ % 3}", "prompt": "a", "max_tokens": 1})  # fmt: skip
                    server.ask("DELETE", f"/v1/models/zoe/passing{(round_ + 1) % 3}")

            thread = threading.Thread(target=disturb)
            thread.start()
            try:
                with ThreadPoolExecutor(16) as pool:
                    for pair, text in zip(pairs, pool.map(stream, pairs), strict=True):
                        self.assertEqual(text, alone[pair])
            finally:
                stop.set()
                thread.join()
            self.assertGreater(len(set(alone.values())), ADAPTERS)
            before = resident_bytes(server.process)
            for pair in pairs[:12]:
                stream(pair)
            self.assertLess(resident_bytes(server.process), 1.05 * before)

    def test_a_crowd_of_adapters_keeps_no_other_tenant_waiting(self) -> None:
        log = FOLDER / "crowd.jsonl"
        words = ["--model", MODEL, "--store", STORE, "--cache", CACHE, "--precision", "float32", "--keys", KEYS]
        with Server(PROGRAM, *words, "--resident-rows", 1, "--sequences", 4, "--access-log", log) as server:

            def answer(tenant: str, name: str) -> None:
                body = {"model": name, "prompt": "a", "max_tokens": 100, "ignore_eos": True, "temperature": 0}
                status, said = server.ask("POST", "/v1/completions", body, key=KEY[tenant])
                self.assertEqual(status, 200, said)

            with ThreadPoolExecutor(100) as pool:
                crowd = [pool.submit(answer, "anna", f"anna/v{i % ADAPTERS}") for i in range(96)]
                while sum(each.done() for each in crowd) < 8:
                    time.sleep(0.005)
                pool.submit(answer, "bob", "bob/own").result()
                for each in crowd:
                    each.result()
            lines = [
                json.loads(line) for line in log.read_text().splitlines() if '"ms"' in line
            ]  # in the order of their ends
        ended = [(datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp(), line) for line in lines]
        at = next(i for i, line in enumerate(lines) if line["tenant"] == "bob")
        begun = ended[at][0] - ended[at][1]["ms"] / 1000
        # Those that have the place, and 16 at most that share it, go first.
        self.assertLessEqual(sum(end > begun for end, _ in ended[:at]), 4 + 16)
        self.assertGreater(len(lines) - at, 40)

    def test_adapters_of_a_key_are_bounded(self) -> None:
        made = run("key", "create", KEYS, "--tenant", "few", "--rights", "infer", "manage", "--adapters", 1, "--json")
        KEY["few"] = json.loads(made.stdout)["key"]
        for i in range(2):
            run("store", "put", reference(f"few/v{i}"), FILES[i], "--cache", CACHE)
        words = ["--model", MODEL, "--store", STORE, "--cache", CACHE, "--precision", "float32", "--keys", KEYS]
        with Server(PROGRAM, *words, key=KEY["few"]) as server:
            pins = [server.ask("POST", "/v1/load_lora_adapter", {"lora_name": f"few/v{i}"}) for i in (0, 0, 1)]
            self.assertEqual([status for status, _ in pins], [200, 200, 429])
            self.assertIn("unload one", pins[-1][1]["error"]["message"])
            self.assertEqual(server.ask("POST", "/v1/unload_lora_adapter", {"lora_name": "few/v0"})[0], 200)
            self.assertEqual(server.ask("POST", "/v1/load_lora_adapter", {"lora_name": "few/v1"})[0], 200)
            body = {"prompt": "a", "max_tokens": 400, "ignore_eos": True, "temperature": 0}
            with ThreadPoolExecutor(8) as pool:
                names = ["few/v0", "few/v0", "few/v1", "base"]
                asked = [pool.submit(server.ask, "POST", "/v1/completions", body | {"model": name}) for name in names]
                found = [each.result()[0] for each in asked]
            self.assertEqual(found[3], 200)
            self.assertEqual(found.count(429), 1 if found[0] == 200 else 2, found)

    def test_kept_adapters_leave_a_place_for_the_others(self) -> None:
        words = ["--model", MODEL, "--store", STORE, "--cache", CACHE, "--precision", "float32"]
        with Server(PROGRAM, *words, "--resident-rows", 3, "--sequences", 8) as server:

            def keep(how: str, name: str) -> tuple[int, dict]:
                return server.ask("POST", f"/v1/{how}_lora_adapter", {"lora_name": name})

            found = [keep("load", f"anna/v{i}") for i in (0, 1, 1, 2)]
            self.assertEqual([status for status, _ in found], [200, 200, 200, 409])
            self.assertEqual(found[3][1]["error"]["param"], "lora_name")
            self.assertIn("at most 2 kept adapters", found[3][1]["error"]["message"])

            def answer(i: int) -> str:
                body = {"model": f"anna/v{i}", "prompt": PROMPTS[0], "max_tokens": NEW, "temperature": 0}
                status, said = server.ask("POST", "/v1/completions", body)
                self.assertEqual(status, 200, said)
                return said["choices"][0]["text"]

            with ThreadPoolExecutor(ADAPTERS) as pool:  # through the one place that is left
                together = list(pool.map(answer, range(ADAPTERS)))
            self.assertEqual(together, texts_alone([{"prompt": PROMPTS[0], "adapter": reference(f"anna/v{i}")} for i in range(ADAPTERS)]))  # fmt: skip
            self.assertEqual(keep("unload", "anna/v0")[0], 200)
            self.assertEqual(keep("load", "anna/v2")[0], 200)
            self.assertEqual(server.ask("GET", "/v1/models/anna/v2")[1]["pinned"], True)
            self.assertEqual(server.ask("GET", "/v1/models/anna/v0")[1]["pinned"], False)

    def test_what_to_do_with_an_adapter_that_changes_the_base(self) -> None:
        """PiSSA takes a part off the weights. No way of starting the server makes room for it; both that are named do."""
        text = FOLDER / "some.txt"
        text.write_text("\n\n".join(PROMPTS[:2] * 4))
        recipe = {
            "model": str(MODEL),
            "head": "none",
            "method": {"name": "pissa", "rank": 2, "targets": "all-linear"},
            "task": {"name": "text", "train": str(text)},
            "train": {"epochs": 1, "max_steps": 2, "batch_size": 2, "learning_rate": [1e-2], "max_length": 32},
            "output": str(FOLDER / "pissa"),
        }
        (FOLDER / "pissa.json").write_text(json.dumps(recipe))
        run("train", FOLDER / "pissa.json", "-q", "--cache", CACHE)
        adapter = next(path for path in (FOLDER / "pissa").rglob("last.safetensors"))
        on_base, cache = ["--model", MODEL, "--cache", CACHE], ["--cache", CACHE]
        body = {"prompt": PROMPTS[0], "max_tokens": NEW, "temperature": 0}

        def asked(words: list, model: str, put: Path | None = None) -> tuple[int, dict, str]:
            with Server(PROGRAM, *words, *cache, "--precision", "float32") as server:
                if put:
                    run("store", "put", f"{words[3]}#anna/late", put, *cache)
                return *server.ask("POST", "/v1/completions", body | {"model": model}), "".join(server.said)

        both = f"lmdb://{FOLDER / 'both'}"
        run("store", "put", f"{both}#anna/plain", FILES[0], *cache)
        told = set()
        with_store = ["--model", MODEL, "--store", both]
        for words, late in (([], adapter), (["--max-rank", 4], None), ([], None)):  # it comes later; it was there
            status, answer, said = asked(with_store + words, "anna/late", late)
            self.assertEqual(status, 400, answer)
            told.add(answer["error"]["message"])
            if not late:
                self.assertIn("not served", said)
        self.assertEqual(len(told), 1)
        self.assertNotIn("--max-rank", *told)
        self.assertNotIn("anew", *told)
        self.assertEqual(asked(with_store, "anna/plain")[0], 200)
        # What it says.
        alone = json.loads(run("generate", *on_base, "--adapter", adapter, "--prompt", PROMPTS[0], "-n", NEW, "--precision", "float32", "--json").stdout)["text"]  # fmt: skip
        run("merge", *on_base, "--adapter", adapter, "--out", FOLDER / "merged")
        self.assertEqual(asked(["--model", FOLDER / "merged"], "base")[1]["choices"][0]["text"], alone)
        run("export", *on_base, "--adapter", adapter, "--format", "peft", "--out", FOLDER / "as-lora")
        run("import", *on_base, "--from", FOLDER / "as-lora", "--out", FOLDER / "lora.safetensors")
        run("store", "put", f"{both}#anna/lora", FOLDER / "lora.safetensors", *cache)
        self.assertEqual(asked(with_store, "anna/lora")[1]["choices"][0]["text"], alone)

    def test_certificates_are_read_again(self) -> None:
        certificate, key = FOLDER / "c.pem", FOLDER / "k.pem"

        def make() -> ssl.SSLContext:
            words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            words += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
            subprocess.run([*words, "-keyout", key, "-out", certificate], check=True, capture_output=True)
            return ssl.create_default_context(cadata=certificate.read_text())

        def ready(context: ssl.SSLContext) -> bool:
            try:
                with urllib.request.urlopen(server.url + "/ready", timeout=20, context=context) as answer:
                    return answer.status == 200
            except urllib.error.URLError:
                return False

        old = make()
        log = FOLDER / "access.jsonl"
        words = ["--model", MODEL, "--tls-cert", certificate, "--tls-key", key, "--access-log", log]
        with Server(PROGRAM, *words, "--trusted-proxy", "127.0.0.0/8") as server:
            self.assertTrue(ready(old))
            host = server.url.removeprefix("https://")
            open_before = http.client.HTTPSConnection(host, context=old, timeout=60)
            body = json.dumps({"model": "base", "prompt": "a", "max_tokens": 300, "ignore_eos": True, "stream": True})
            headers = {"Content-Type": "application/json", "X-Forwarded-For": "10.1.2.3, 203.0.113.9"}
            open_before.request("POST", "/v1/completions", body, headers)
            stream = open_before.getresponse()
            self.assertTrue(stream.readline())
            certificate.write_text("none")
            server.process.send_signal(signal.SIGHUP)
            self.wait_for(lambda: any("what was in use stays" in line for line in server.said))
            self.assertTrue(ready(old))
            new = make()
            self.assertTrue(ready(old), "the control: nobody has said so yet")
            server.process.send_signal(signal.SIGHUP)
            self.wait_for(lambda: ready(new))
            self.assertFalse(ready(old))
            self.assertTrue(stream.read().endswith(b"data: [DONE]\n\n"))
            open_before.close()
            self.wait_for(lambda: any(json.loads(line).get("peer") == "203.0.113.9" for line in log.read_text().splitlines()))  # fmt: skip

    def wait_for(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not holds():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def test_options_that_cannot_be(self) -> None:
        for words, said in (
            (["--keys", FOLDER / "none.json"], "expected a file of keys, found none; loraxs key create"),
            (["--trusted-proxy", "10.0.0.0/64"], "--trusted-proxy: expected an address, or a network"),
        ):
            done = subprocess.run([PROGRAM, "serve", "--model", str(MODEL), "--port", "0", *map(str, words)], check=False, capture_output=True, text=True, timeout=60)  # fmt: skip
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(said, done.stderr)

    def test_killed_and_started_again(self) -> None:
        words = ["--model", MODEL, "--store", STORE, "--cache", CACHE, "--precision", "float32"]
        with Server(PROGRAM, *words) as server:
            body = {"model": "anna/v0", "prompt": "a", "max_tokens": 500, "ignore_eos": True, "temperature": 0}
            threads = [threading.Thread(target=lambda: self.gone(server, body)) for _ in range(8)]
            for thread in threads:
                thread.start()
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            for thread in threads:
                thread.join()
        with Server(PROGRAM, *words, wait_s=3) as server:
            self.assertEqual(server.ask("GET", "/ready")[0], 200)
            status, answer = server.ask("POST", "/v1/completions", {"model": "anna/v0", "prompt": "a", "max_tokens": NEW, "temperature": 0})  # fmt: skip
            self.assertEqual(status, 200)
            self.assertEqual(
                [answer["choices"][0]["text"]], texts_alone([{"prompt": "a", "adapter": reference("anna/v0")}])
            )

    def gone(self, server: Server, body: dict) -> None:
        try:
            server.ask("POST", "/v1/completions", body)
        except OSError:
            pass


def make_store() -> None:
    for i in range(ADAPTERS):
        FILES.append(write_varied(MODEL / "adapter-0.safetensors", FOLDER / f"v{i}.safetensors", seed=i))
    run("store", "put", f"{STORE}#anna/", *FILES, "--cache", CACHE)
    run("store", "put", reference("bob/own"), FILES[0], "--cache", CACHE)
    for tenant in ("anna", "bob"):
        made = run("key", "create", KEYS, "--tenant", tenant, "--rights", "infer", "manage", "--json")
        KEY[tenant] = json.loads(made.stdout)["key"]
    KEY["operator"] = json.loads(
        run("key", "create", KEYS, "--tenant", "ops", "--rights", "infer", "manage", "operate", "--json").stdout
    )["key"]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        FOLDER = Path(scratch)
        STORE, KEYS, CACHE = f"lmdb://{FOLDER / 'store'}", FOLDER / "keys.json", FOLDER / "cache"
        FILES, KEY = [], {}
        make_store()
        unittest.main(argv=sys.argv[:1])
