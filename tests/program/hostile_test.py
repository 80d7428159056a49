"""Hostile inputs, generated at two sizes: each ends with exit code 2 and one short printable sentence, within bounds.

Arguments: PROGRAM [TEST…]. The address space is limited to 8 GB; resident memory, CPU time and its growth from one size to the
double are measured. CPU time and not wall time is compared with the bar, since a busy neighbour must not fail a test; what
sleeps or waits is ended after a while and fails.
"""

import gzip
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from dataclasses import dataclass
from pathlib import Path

PROGRAM = str(Path(sys.argv[1]).absolute())
ADDRESS_SPACE, RESIDENT_KB, CPU_SECONDS, WALL_SECONDS, CHARACTERS = 8 << 30, 500_000, 2.0, 60, 500
HUGE = 1 << 62
BPE = {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}
LLAMA = {
    "model_type": "llama", "vocab_size": 32, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 4, "max_position_embeddings": 64, "tie_word_embeddings": True,
}  # fmt: skip
BERT = {
    "model_type": "bert",
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


@dataclass
class Outcome:
    code: int
    error: str
    cpu_seconds: float
    resident_kb: int


def run(command: list[str], folder: Path, **environment: str) -> Outcome:
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    resource.prlimit(process.pid, resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    signal.signal(signal.SIGALRM, lambda *_: process.kill())
    signal.alarm(WALL_SECONDS)
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    signal.alarm(0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Outcome(process.returncode, error.decode("utf-8", "backslashreplace"), usage.ru_utime + usage.ru_stime, usage.ru_maxrss)  # fmt: skip


def put(path: Path, data: bytes | str | dict | list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, dict | list):
        data = json.dumps(data)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def safetensors(tensors: dict[str, list[int]], number: float = 0) -> bytes:
    header, offset = {}, 0
    for name, shape in tensors.items():
        size = 4
        for count in shape:
            size *= count
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + struct.pack("<f", number) * (offset // 4)


def weights_of(config: dict) -> dict[str, list[int]]:
    hidden, inner, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    width = config["num_attention_heads"] * config["head_dim"]
    layer = "model.layers.0."
    names = {f"{layer}{norm}.weight": [hidden] for norm in ("input_layernorm", "post_attention_layernorm")}
    names |= {f"{layer}self_attn.{p}_proj.weight": [width, hidden] for p in "qkv"}
    names |= {f"{layer}mlp.{p}_proj.weight": [inner, hidden] for p in ("gate", "up")}
    names |= {f"{layer}self_attn.o_proj.weight": [hidden, width], f"{layer}mlp.down_proj.weight": [hidden, inner]}
    return names | {"model.embed_tokens.weight": [vocab, hidden], "model.norm.weight": [hidden]}


def make_llama(
    folder: Path, tokenizer: dict | str | None = None, template: str | None = None, number: float = 0
) -> None:
    put(folder / "config.json", LLAMA)
    put(folder / "model.safetensors", safetensors(weights_of(LLAMA), number))
    put(folder / "tokenizer.json", {"model": BPE} if tokenizer is None else tokenizer)
    if template is not None:
        put(folder / "chat_template.jinja", template)


def gguf_text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def gguf_array(kind: int, items: list[bytes]) -> bytes:
    return struct.pack("<IIQ", 9, kind, len(items)) + b"".join(items)


def gguf(fields: list[tuple[bytes, bytes]], tensors: bytes = b"", count: int = 0) -> bytes:
    return (
        b"GGUF" + struct.pack("<IQQ", 3, count, len(fields)) + b"".join(gguf_text(k) + v for k, v in fields) + tensors
    )


class HostileTest(unittest.TestCase):
    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)

    def ends_well(self, name: str, command: list[str], **environment: str) -> Outcome:
        """The outcome of the fastest of up to three tries, checked."""
        outcome = None
        for _ in range(3):
            again = run([PROGRAM, *command, "--cache", str(self.folder / "cache")], self.folder, **environment)
            outcome = again if outcome is None or again.cpu_seconds < outcome.cpu_seconds else outcome
            if again.code != 2 or outcome.cpu_seconds <= CPU_SECONDS:
                break
        with self.subTest(name):
            sentence = outcome.error.removesuffix("\n")
            self.assertEqual(outcome.code, 2, outcome.error[:2000])
            self.assertTrue(sentence.startswith("loraxs: "), sentence[:200])
            self.assertLessEqual(len(sentence), CHARACTERS)
            self.assertTrue(sentence.isprintable(), repr(sentence))
            self.assertLessEqual(outcome.cpu_seconds, CPU_SECONDS, sentence)
            self.assertLessEqual(outcome.resident_kb, RESIDENT_KB, sentence)
        return outcome

    def grows_slowly(self, name: str, make, sizes: tuple[int, int], command: list[str]) -> None:
        """make(size) writes the input that the command reads."""
        seconds = []
        for size in sizes:
            make(size)
            seconds.append(self.ends_well(f"{name} of {size}", command).cpu_seconds)
        with self.subTest(f"growth of {name}"):  # loading the program takes 0.2 s, which is no growth
            self.assertLess(seconds[1], 3 * max(seconds[0], 0.2), seconds)

    def dry_run(self, task: dict, **more: object) -> list[str]:
        put(self.folder / "model" / "config.json", BERT)
        put(
            self.folder / "recipe.yaml",
            {"model": "model", "method": {"rank": 2}, "output": "out", "task": task, **more},
        )
        return ["train", "--dry-run", "recipe.yaml"]

    def classify(self, file: str) -> list[str]:
        return self.dry_run({"name": "classification", "train": file})

    # Depth.

    def test_depth(self) -> None:
        at = self.folder
        self.grows_slowly("config", lambda n: put(at / "m/config.json", '{"model_type":"llama","a":' + deep(n) + "}"), (200_000, 400_000), ["params", "m"])  # fmt: skip
        put(at / "i/config.json", BERT)
        self.grows_slowly("index", lambda n: put(at / "i/model.safetensors.index.json", '{"weight_map":{"a":' + deep(n) + "}}"), (200_000, 400_000), ["basis", "--model", "i"])  # fmt: skip
        self.grows_slowly("record", lambda n: put(at / "d.jsonl", '{"text":' + deep(n) + ',"label":1}\n'), (200_000, 400_000), self.classify("d.jsonl"))  # fmt: skip
        self.grows_slowly("objects", lambda n: put(at / "o.jsonl", '{"text":' * n + "1" + "}" * n + "\n"), (100_000, 200_000), self.classify("o.jsonl"))  # fmt: skip
        chat = self.dry_run({"name": "chat", "train": "c.jsonl"}, head="none")
        put(at / "model/config.json", LLAMA)
        self.grows_slowly("chat", lambda n: put(at / "c.jsonl", '{"messages":[{"role":"assistant","content":' + deep(n) + "}]}\n"), (200_000, 400_000), chat)  # fmt: skip

    def test_yaml(self) -> None:
        def laughs(levels: int) -> None:
            text = "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
            for i in range(levels):
                text += f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n"
            put(self.folder / "r.yaml", text)

        command = ["train", "--dry-run", "r.yaml"]
        self.grows_slowly("laughs", laughs, (9, 18), command)
        self.grows_slowly("lists", lambda n: put(self.folder / "r.yaml", "a: " + deep(n)), (100_000, 200_000), command)
        self.grows_slowly(
            "maps", lambda n: put(self.folder / "r.yaml", "a: " + "{a: " * n + "}" * n), (50_000, 100_000), command
        )
        self.grows_slowly("keys", lambda n: put(self.folder / "r.yaml", "".join(f"k{i}: 1\n" for i in range(n))), (20_000, 40_000), command)  # fmt: skip
        self.grows_slowly("key", lambda n: put(self.folder / "r.yaml", "k" * n + ": 1\n"), (400_000, 800_000), command)
        for name, text in (
            ("self", "a: &a [*a]\n"),
            ("self map", "&a {b: *a}\n"),
            ("utf8", b'model: x\nmethod:\n  rank: "\xff"\n'),
            ("escape", 'model: "\\e[2J\\u0085\\u202e"\ntask: {name: qnli, data: .}\noutput: o\n'),
            ("empty list", "model: x\ntask: {name: qnli}\noutput: o\ntrain: {seeds: []}\n"),
            ("no targets", "model: x\ntask: {name: qnli}\noutput: o\nmethod: {targets: []}\n"),
            ("rounded", "model: x\ntask: {name: qnli}\noutput: o\ntrain: {learning_rate: [9007199254740993]}\n"),
            ("epochs", "model: x\ntask: {name: qnli}\noutput: o\ntrain: {epochs: 9223372036854775807}\n"),
            ("directive", "%YAML 99999999999999999999.1\n---\na: 1\n"),
        ):
            put(self.folder / "r.yaml", text)
            self.ends_well(name, command)

    # Sizes and numbers.

    def test_configs(self) -> None:
        put(self.folder / "m/config.json", LLAMA)
        counted = subprocess.run([PROGRAM, "params", "m"], cwd=self.folder, capture_output=True, text=True, check=False)
        self.assertEqual(counted.returncode, 0, counted.stderr)  # the ranks of the table that fit, though all do not
        self.assertEqual([line.split()[0] for line in counted.stdout.splitlines()[2:-2]], ["4", "8"])
        for name, config in (
            ("layers", {"model_type": "bert", "num_hidden_layers": 1_000_000_000}),
            ("infinite", '{"model_type":"bert","layer_norm_eps":1e999}'),
            ("heads", {"model_type": "llama", "num_attention_heads": HUGE, "num_key_value_heads": HUGE, "head_dim": HUGE, "num_hidden_layers": 1}),
            ("head product", {"model_type": "llama", "num_attention_heads": 1 << 19, "head_dim": 1 << 19}),
            ("vocabulary", {"model_type": "llama", "vocab_size": (1 << 64) - 1}),
            ("positions", {"model_type": "bert", "max_position_embeddings": HUGE}),
            ("padding", {"model_type": "roberta", "pad_token_id": (1 << 63) - 1}),
            ("name", {"model_type": "\x1b]0;x\x07" + "y" * 100_000}),
        ):  # fmt: skip
            put(self.folder / "m/config.json", config)
            self.ends_well(name, ["params", "m"])
            self.ends_well(f"{name}, to train", ["basis", "--model", "m"])

    def test_safetensors(self) -> None:
        make_llama(self.folder / "m")
        for name, shape in (
            ("zero overflow", [0, HUGE, HUGE]),
            ("overflow", [HUGE, HUGE]),
            ("dimensions", [1] * 100_000),
        ):
            header = json.dumps({"t": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
            put(self.folder / "m/model.safetensors", struct.pack("<Q", len(header)) + header)
            self.ends_well(name, ["basis", "--model", "m"])

    def test_weights_that_are_no_numbers(self) -> None:
        """Nothing is decomposed, changed or said of them; what makes float32 overflow is refused too."""
        for name, number in (("nan", float("nan")), ("infinite", float("inf")), ("overflow", 3e38)):
            make_llama(self.folder / "m", number=number)
            found = self.ends_well(name, ["basis", "-q", "--model", "m", "--rank", "2"])
            self.assertIn("layers.0.", found.error)
            self.assertIn("damaged", found.error)

    def test_labels(self) -> None:
        for name, data in (
            ("denormal", "text,label\na,1e-320\nb,1\n"),
            ("nul", b"text,label\na,\x00\nb,1\n"),
            ("infinite", "text,label\na,inf\nb,1\n"),
            ("nan", "text,label\na,nan\nb,1\n"),
            ("bytes", b"text,label\na,\x92\nb,1\n"),
        ):
            put(self.folder / "l.csv", data)
            self.ends_well(name, self.classify("l.csv"))

    # Squares and bombs.

    def test_squares(self) -> None:
        at = self.folder
        self.grows_slowly("new keys", lambda n: put(at / "k.jsonl", "".join(f'{{"k{i}":1}}\n' for i in range(n))), (20_000, 40_000), self.classify("k.jsonl"))  # fmt: skip
        self.grows_slowly("keys", lambda n: put(at / "m.jsonl", "{" + ",".join(f'"k{i}":1' for i in range(n)) + "}\n"), (200_000, 400_000), self.classify("m.jsonl"))  # fmt: skip
        self.grows_slowly("columns", lambda n: put(at / "w.csv", ",".join(f"c{i}" for i in range(n)) + "\n"), (200_000, 400_000), self.classify("w.csv"))  # fmt: skip
        # A wide first record, then many narrow ones: a cell for each column of each would take gigabytes.
        wide = "{" + ",".join(f'"k{i}":1' for i in range(9000)) + "}\n"
        self.grows_slowly("wide record", lambda n: put(at / "r.jsonl", wide + '{"k8999":1}\n' * n), (100_000, 200_000), self.classify("r.jsonl"))  # fmt: skip
        self.grows_slowly("classes", lambda n: put(at / "n.csv", "text,label\n" + "".join(f"a,x{i}\n" for i in range(n)) + "a,\x01\n"), (50_000, 100_000), self.classify("n.csv"))  # fmt: skip
        self.grows_slowly("bomb", lambda n: put(at / "b.jsonl.gz", gzip.compress(b"\n" * n, 9)), (1 << 27, 1 << 28), self.classify("b.jsonl.gz"))  # fmt: skip
        self.grows_slowly("line", lambda n: put(at / "l.jsonl", '{"text":"' + "a" * n + "\n"), (20_000_000, 40_000_000), self.classify("l.jsonl"))  # fmt: skip
        self.grows_slowly("column name", lambda n: put(at / "c.csv", "x" * n + ",label\na,b\n"), (1_000_000, 2_000_000), self.classify("c.csv"))  # fmt: skip

    # Files.

    def test_files_that_are_none(self) -> None:
        at = self.folder
        (at / "m").mkdir()
        for name in ("config.json", "recipe.yaml", "data.csv", "data.csv.gz", "input.jsonl"):
            os.mkfifo(at / ("m" if name == "config.json" else ".") / name)
        self.ends_well("config", ["params", "m"])
        self.ends_well("recipe", ["train", "--dry-run", "recipe.yaml"])
        (at / "recipe.yaml").unlink()
        self.ends_well("table", self.classify("data.csv"))
        self.ends_well("packed table", self.classify("data.csv.gz"))
        make_llama(at / "llama")
        self.ends_well("prompts", ["generate", "--model", "llama", "--input", "input.jsonl"])
        self.ends_well("device", ["train", "--dry-run", "/dev/zero"])
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(at / "s.yaml"))
            self.ends_well("socket", ["train", "--dry-run", "s.yaml"])
        (at / "llama/model.safetensors").unlink()
        os.mkfifo(at / "llama/model.safetensors")
        self.ends_well("weights", ["generate", "--model", "llama", "--prompt", "a"])

    def test_a_file_cut_while_it_is_mapped(self) -> None:
        """Weights of 64 MB lose their end while they are hashed: over and over, so that some cut falls into a read."""
        config = BERT | {"vocab_size": 4_000_000, "hidden_size": 8}
        put(self.folder / "m/config.json", config)
        header = json.dumps({"embeddings.word_embeddings.weight": {"dtype": "F32", "shape": [4_000_000, 8], "data_offsets": [0, 128_000_000]}}).encode()  # fmt: skip
        path = self.folder / "m/model.safetensors"
        for wait in (0.1, 0.2, 0.3, 0.4):
            with path.open("wb") as file:
                file.write(struct.pack("<Q", len(header)) + header)
                file.truncate(8 + len(header) + 128_000_000)
            process = subprocess.Popen([PROGRAM, "basis", "--model", "m", "--cache", "cache"], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # fmt: skip
            time.sleep(wait)
            os.truncate(path, 4096)
            _, error = process.communicate(timeout=WALL_SECONDS)
            self.assertEqual(process.returncode, 2, error)  # a sentence, never SIGBUS

    def test_cache_without_home(self) -> None:
        """A folder of the temporary folder that somebody else prepared is refused."""
        make_llama(self.folder / "llama")
        temporary = self.folder / "tmp"
        taken = temporary / f"loraxs-{os.geteuid()}"
        taken.mkdir(parents=True)
        taken.chmod(0o777)
        command = [PROGRAM, "basis", "--model", "llama", "--rank", "2"]
        environment = {"HOME": "", "XDG_CACHE_HOME": "", "TMPDIR": str(temporary)}
        outcome = run(command, self.folder, **environment)
        self.assertEqual(outcome.code, 2, outcome.error)
        self.assertIn("this user alone", outcome.error)
        taken.rmdir()
        taken.symlink_to(self.folder / "llama")
        self.assertEqual(run(command, self.folder, **environment).code, 2)
        taken.unlink()
        outcome = run(command, self.folder, **environment)
        self.assertEqual(outcome.code, 0, outcome.error)
        self.assertEqual(taken.stat().st_mode & 0o777, 0o700)

    # Tokenizers, templates and GGUF files.

    def test_tokenizers(self) -> None:
        def model(parts):
            return lambda n: make_llama(self.folder / "t", parts(n))

        command = ["generate", "--model", "t", "--prompt", "a" * 100]
        nested = '{"type":"Sequence","processors":['
        replace = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
        for name, parts, sizes in (
            ("decoders", lambda n: {"model": BPE, "decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"}] * n}}, (100_000, 200_000)),
            ("elements", lambda n: {"model": BPE, "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}] * n, "pair": [], "special_tokens": {}}}, (150_000, 300_000)),
            ("doubling", lambda n: {"model": BPE, "normalizer": {"type": "Sequence", "normalizers": [replace] * n}}, (40, 80)),
            ("post", lambda n: '{"model":' + json.dumps(BPE) + ',"post_processor":' + nested * n + "]}" * n + "}", (30_000, 60_000)),
        ):  # fmt: skip
            self.grows_slowly(name, model(parts), sizes, command)
        behind = {"type": "Split", "pattern": {"Regex": "(?<=(?1))|(?!)(\\Ka)"}, "behavior": "Isolated"}
        special = {"x": {"ids": [-5, 2_000_000_000, 1e300]}}
        single = [{"SpecialToken": {"id": "x", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
        for name, parts in (
            ("lookbehind", {"pre_tokenizer": behind}),
            ("ids", {"post_processor": {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": special}}),
            ("beyond", {"model": BPE | {"vocab": {"a": 0, "b": 4_000_000}}}),
        ):  # fmt: skip
            make_llama(self.folder / "t", {"model": BPE} | parts)
            self.ends_well(name, command)

    def test_templates(self) -> None:
        for name, template in {
            "copies": "{% set x = ['a' * 16000000] * 2000 %}{{ x|length }}",
            "indent": "{{ range(2000)|list|tojson(indent=16000000) }}",
            "find": "{{ ('a'*4000000 + 'b') in ('a'*8000000) }}",
            "replace": "{{ ('a'*8000000)|replace('a'*4000000 + 'b', '')|length }}",
            "compare": "{% set x='a'*16000000 %}{% for i in range(100000) %}{% if x == x %}{% endif %}{% endfor %}",
            "path": "{{ [1]|map(attribute='.'*4000000)|list|length }}",
            "dict": "{% set d = dict(range(100000)|batch(2)) %}{{ d|length }}{{ raise_exception('done') }}",
            "filters": "{% macro m(n) %}{{ m(n+1)" + "|trim" * 480 + " }}{% endmacro %}{{ m(0) }}",
            "message": "{{ raise_exception('a' * 16000000) }}",
        }.items():
            make_llama(self.folder / "j", template=template)
            self.ends_well(name, ["generate", "--model", "j", "--chat", "--prompt", "a"])

    def test_gguf(self) -> None:
        put(self.folder / "overflow.gguf", gguf([], gguf_text(b"t") + struct.pack("<I3QIQ", 3, 0, HUGE, HUGE, 0, 0), 1))
        put(
            self.folder / "escape.gguf",
            gguf([], gguf_text(b"\x1b[2J\x1b]0;title\x07\nwell") + struct.pack("<I", 9), 1) + bytes(32),
        )
        for name in ("overflow", "escape"):
            self.ends_well(name, ["show", f"{name}.gguf"])
            self.ends_well(f"{name}, to run", ["generate", "--model", f"{name}.gguf", "--prompt", "a"])

        def long_token(size: int) -> None:
            tokens = [b"<unk>", b"a" * size] + [b"b%d" % i for i in range(30)]
            put(self.folder / "long.gguf", gguf([
                (b"tokenizer.ggml.model", struct.pack("<I", 8) + gguf_text(b"llama")),
                (b"tokenizer.ggml.tokens", gguf_array(8, [gguf_text(t) for t in tokens])),
                (b"tokenizer.ggml.scores", gguf_array(6, [struct.pack("<f", 0)] * len(tokens))),
            ]))  # fmt: skip

        self.grows_slowly(
            "long token", long_token, (1_000_000, 2_000_000), ["generate", "--model", "long.gguf", "--prompt", "a"]
        )


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
