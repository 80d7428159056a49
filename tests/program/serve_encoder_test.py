"""`loraxs serve` on an encoder: labels are those of `predict`, vectors those of transformers. Arguments: PROGRAM ORACLES."""

import base64
import json
import struct
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import torch
from support.postgres import Postgres, programs
from support.server import Server, check_page
from support.tiny_run import TrainedRunTest, run
from support.varied_adapter import write_varied
from transformers import AutoModel, AutoTokenizer

PROGRAM, ORACLES = sys.argv[1], Path(sys.argv[2])
TEXTS = [
    "abc xyz",
    "hello kq",
    "xyz",
    "kq kq abc",
    "hello hello hello xyz abc kq",
    "a",
    "xyz " + "abc hello " * 40,
]  # the last is cut
SHORT = TEXTS[:-1]
ADAPTERS = 12


class EncoderTest(TrainedRunTest):
    oracles, program = ORACLES, PROGRAM

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.url = f"lmdb://{cls.folder / 's'}"
        like = cls.folder / "whole/seed-0/best.safetensors"
        cls.files = [write_varied(like, cls.folder / f"v{i}.safetensors", i) for i in range(ADAPTERS)]
        cache = ["--cache", str(cls.folder / "cache")]
        done = run([PROGRAM, "store", "put", f"{cls.url}#anna/", *map(str, cls.files), str(like), *cache])
        assert done.returncode == 0, done.stderr
        cls.words = ["--model", cls.folder / "model", "--store", cls.url, "--precision", "float32", *cache]
        cls.server = Server(PROGRAM, *cls.words, "--resident-rows", 5).__enter__()
        cls.client = openai.OpenAI(base_url=cls.server.url + "/v1", api_key="none", max_retries=0)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.__exit__()
        super().tearDownClass()

    def predicted(self, adapter: Path) -> list[dict]:
        texts = self.folder / "texts.txt"
        texts.write_text("".join(text + "\n" for text in TEXTS))
        words = ["--model", str(self.folder / "model"), "--cache", str(self.folder / "cache"), "--precision", "float32"]
        done = run([PROGRAM, "predict", *words, "--adapter", str(adapter), "--input", str(texts), "--json"])
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def classify(self, model: object, texts: object) -> list[dict]:
        status, answer = self.server.ask("POST", "/v1/classify", {"model": model, "input": texts})
        self.assertEqual(status, 200, answer)
        return answer["data"]

    def test_many_heads_in_common_batches_label_as_predict_does(self) -> None:
        expected = [self.predicted(file) for file in self.files]
        asked = [(i, j) for i in range(ADAPTERS) for j in range(len(TEXTS))]
        with ThreadPoolExecutor(24) as pool:
            found = list(pool.map(lambda at: self.classify(f"anna/v{at[0]}", TEXTS[at[1]])[0], asked))
        for (i, j), row in zip(asked, found, strict=True):
            self.assertEqual(row["label"], expected[i][j]["label"])
            self.assertEqual(row["num_classes"], 2)
            for probability, wanted in zip(row["probs"], expected[i][j]["scores"].values(), strict=True):
                self.assertAlmostEqual(probability, wanted, places=6)
        scores = {tuple(row["scores"].values()) for rows in expected for row in rows}
        self.assertGreater(len(scores), ADAPTERS * len(TEXTS) // 2, "the adapters are told apart by nothing")
        together = self.classify([f"anna/v{i}" for i in range(4)], TEXTS[0])
        self.assertEqual([row["label"] for row in together], [expected[i][0]["label"] for i in range(4)])
        names = list(expected[0][0]["scores"])
        self.assertIn(self.classify("anna/best", TEXTS)[2]["label"], names)

    @unittest.skipUnless(programs(), "NOT RUN: no PostgreSQL server is installed (Debian: postgresql)")
    def test_more_tenants_than_places_are_all_answered(self) -> None:
        """On a store whose rows take a moment to come: whoever finds no place waits for those that load."""
        database = Postgres().__enter__()
        self.addCleanup(database.__exit__)
        keys, tenants = self.folder / "keys.json", [f"t{i}" for i in range(8)]
        cache, key = ["--cache", str(self.folder / "cache")], {}
        for i, tenant in enumerate(tenants):
            key[tenant] = run([PROGRAM, "key", "create", str(keys), "--tenant", tenant]).stdout.strip()
            put = run([PROGRAM, "store", "put", f"{database.url}#{tenant}/own", str(self.files[i]), *cache])
            self.assertEqual(put.returncode, 0, put.stderr)
        expected = {t: [row["label"] for row in self.predicted(self.files[i])] for i, t in enumerate(tenants)}
        words = ["--model", self.folder / "model", "--store", database.url, "--precision", "float32", *cache]
        with Server(PROGRAM, *words, "--resident-rows", 1, "--keys", keys) as server:

            def ask(tenant: str) -> tuple[int, dict]:
                body = {"model": f"{tenant}/own", "input": TEXTS}
                return server.ask("POST", "/v1/classify", body, key=key[tenant])

            with ThreadPoolExecutor(32) as pool:
                answers = list(pool.map(ask, tenants * 30))
            for tenant, (status, answer) in zip(tenants * 30, answers, strict=True):
                self.assertEqual(status, 200, answer)
                self.assertEqual([row["label"] for row in answer["data"]], expected[tenant])

    def test_vectors_are_those_of_transformers(self) -> None:
        tokenizer, model = (
            AutoTokenizer.from_pretrained(self.folder / "model"),
            AutoModel.from_pretrained(self.folder / "model").eval(),
        )
        expected = []
        for text in SHORT:
            with torch.no_grad():
                hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
            expected.append(hidden / hidden.norm())
        found = self.client.embeddings.create(model="base", input=SHORT, encoding_format="float")
        for row, wanted in zip(found.data, expected, strict=True):
            self.assertLess((torch.tensor(row.embedding) - wanted).norm().item(), 1e-5)
        packed = self.client.embeddings.create(model="base", input=TEXTS[1], encoding_format="base64")
        numbers = struct.unpack(f"<{len(expected[1])}f", base64.b64decode(packed.data[0].embedding))
        self.assertEqual(list(numbers), [struct.unpack("<f", struct.pack("<f", x))[0] for x in found.data[1].embedding])
        adapted = self.client.embeddings.create(model="anna/v1", input=TEXTS[1]).data[0].embedding
        self.assertGreater((torch.tensor(adapted) - expected[1]).norm().item(), 1e-3)

    def test_kept_heads_leave_a_place_for_the_others(self) -> None:
        expected = [self.predicted(file)[0]["label"] for file in self.files]
        with Server(PROGRAM, *self.words, "--resident-rows", 2) as server:
            keep = [server.ask("POST", "/v1/load_lora_adapter", {"lora_name": f"anna/v{i}"}) for i in range(2)]
            self.assertEqual([status for status, _ in keep], [200, 409])
            names = [f"anna/v{i}" for i in range(ADAPTERS)]  # through one place
            with ThreadPoolExecutor(8) as pool:
                found = list(pool.map(lambda _: server.ask("POST", "/v1/classify", {"model": names[:8], "input": TEXTS[0]}), range(8)))  # fmt: skip
                each = list(pool.map(lambda name: server.ask("POST", "/v1/classify", {"model": name, "input": TEXTS[0]}), names))  # fmt: skip
        for status, answer in found:
            self.assertEqual(status, 200, answer)
            self.assertEqual([row["label"] for row in answer["data"]], expected[:8])
        self.assertEqual([answer["data"][0]["label"] for _, answer in each], expected)

    def test_a_regression_is_a_number(self) -> None:
        data = self.folder / "scores.csv"
        data.write_text("text,label\n" + "".join(f"{'abc ' * (i % 5 + 1)}kq,{i % 5 / 2}\n" for i in range(40)))
        task = {"name": "regression", "train": str(data), "validation": str(data)}
        self.trained(PROGRAM, "scored", *(word for key, value in task.items() for word in ("--set", f"task.{key}={value}")), "--set", "train.seeds=[0]")  # fmt: skip
        file = self.folder / "scored/seed-0/best.safetensors"
        put = run([PROGRAM, "store", "put", f"{self.url}#anna/score", str(file), "--cache", str(self.folder / "cache")])
        self.assertEqual(put.returncode, 0, put.stderr)
        body = {"model": "base", "input": TEXTS, "adapter": base64.b64encode(file.read_bytes()).decode()}
        with Server(PROGRAM, *self.words) as server:
            brought = server.ask("POST", "/v1/classify", body)[1]["data"]
            stored = server.ask("POST", "/v1/classify", {"model": "anna/score", "input": TEXTS})[1]["data"]
        expected = [row["score"] for row in self.predicted(file)]
        for rows in (brought, stored):
            self.assertIsNone(rows[0]["label"])
            for row, value in zip(rows, expected, strict=True):
                self.assertAlmostEqual(row["probs"][0], value, places=5)
        self.assertGreater(len(set(expected)), 3)

    def test_the_page(self) -> None:
        (self.folder / "pictures").mkdir()
        check_page(self, self.server, self.folder / "pictures")

    def test_adapters_that_come_after_the_start(self) -> None:
        """Their layout was reserved, or the answer says how to; the base answers on."""
        self.trained(PROGRAM, "narrow", "--set", "method.rank=2", "--set", "train.seeds=[0]")
        cache = ["--cache", str(self.folder / "cache")]
        for words, status in ((["--max-rank", 4], 200), ([], 400)):
            url = f"lmdb://{self.folder / f'late-{status}'}"
            narrow = str(self.folder / "narrow/seed-0/best.safetensors")
            put = run([PROGRAM, "store", "put", f"{url}#anna/narrow", narrow, *cache])
            self.assertEqual(put.returncode, 0, put.stderr)
            model = ["--model", self.folder / "model", "--store", url, "--precision", "float32", *cache]
            with Server(PROGRAM, *model, *words) as server:
                put = run([PROGRAM, "store", "put", f"{url}#anna/late", str(self.files[0]), *cache])
                self.assertEqual(put.returncode, 0, put.stderr)
                found, answer = server.ask("POST", "/v1/classify", {"model": "anna/late", "input": TEXTS[0]})
                self.assertEqual(found, status, answer)
                if status == 200:
                    self.assertEqual(answer["data"][0]["label"], self.predicted(self.files[0])[0]["label"])
                else:
                    self.assertIn("--max-rank", answer["error"]["message"])
                self.assertEqual(server.ask("POST", "/v1/embeddings", {"model": "base", "input": "a"})[0], 200)

    def test_what_an_encoder_does_not_do(self) -> None:
        chat = {"model": "base", "messages": [{"role": "user", "content": "a"}]}
        for path, body, said in (
            ("/v1/chat/completions", chat, "encoder"),
            ("/v1/classify", {"model": "base", "input": "a"}, "classes"),
            ("/v1/classify", {"model": "anna/v1", "input": []}, "input"),
            ("/v1/embeddings", {"model": "base", "input": [1, "a"]}, "input"),
            ("/v1/embeddings", {"model": "base", "input": TEXTS[-1]}, "context"),
        ):
            status, answer = self.server.ask("POST", path, body)
            self.assertEqual(status, 400, (path, answer))
            self.assertIn(said, answer["error"]["message"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
