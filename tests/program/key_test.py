"""Keys of a server: made once, listed without themselves, revoked. Arguments: PROGRAM."""

import hashlib
import json
import stat
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROGRAM = sys.argv[1]


class KeyTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "keys.json"

    def key(self, *words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([PROGRAM, "key", *map(str, words)], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def lines(self, *words: object) -> list[dict]:
        return [json.loads(line) for line in self.key(*words, "--json").stdout.splitlines()]

    def test_a_key_is_shown_once(self) -> None:
        made = self.key("create", self.file, "--tenant", "anna")
        key = made.stdout.strip()
        self.assertRegex(key, r"^lxs_[A-Za-z0-9_-]{43}$")
        self.assertIn("shown this once", made.stderr)
        self.assertNotIn(key, self.file.read_text())
        self.assertIn(hashlib.sha256(key.encode()).hexdigest(), self.file.read_text())
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)
        for listed in (self.key("list", self.file).stdout, self.key("list", self.file, "--json").stdout):
            self.assertIn("anna", listed)
            self.assertNotIn(key, listed)

    def test_what_is_asked_for_is_what_stands_there(self) -> None:
        words = ["--rights", "infer", "manage", "--requests-per-minute", 5, "--tokens-per-minute", 6]
        words += ["--bytes-per-minute", 7, "--streams", 8, "--adapters", 9, "--priority", -3]
        made = self.lines("create", self.file, "--tenant", "anna", *words)[0]
        other = self.lines("create", self.file, "--tenant", "ben")[0]
        self.assertNotEqual(made.pop("key"), other.pop("key"))
        self.assertEqual(made["rights"], ["infer", "manage"])
        self.assertEqual(other["rights"], ["infer"])
        numbers = ("requests_per_minute", "tokens_per_minute", "bytes_per_minute", "streams", "adapters", "priority")
        self.assertEqual([made[name] for name in numbers], [5, 6, 7, 8, 9, -3])
        self.assertEqual(self.lines("list", self.file), [made, other])
        self.assertIsNone(made["revoked"])
        revoked = self.lines("revoke", self.file, made["id"])[0]
        self.assertIsNotNone(revoked["revoked"])
        self.assertEqual(self.lines("list", self.file), [revoked, other])

    def test_writers_do_not_lose_each_others_keys(self) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda i: self.key("create", self.file, "--tenant", f"t{i}"), range(12)))
        self.assertEqual(len(self.lines("list", self.file)), 12)

    def test_mistakes_are_one_sentence(self) -> None:
        self.key("create", self.file, "--tenant", "anna")
        before = self.file.read_bytes()
        for words, part in (
            (["create", self.file], "expected --tenant"),
            (["create", self.file, "--tenant", "a/b"], "tenant"),
            (["create", self.file, "--tenant", "a", "--priority", 5000], "priority"),
            (["create", self.file, "--tenant", "a", "--rights", "cook"], "--rights"),
            (["create", self.file, "--tenant", "a", "--streams", -1], "--streams"),
            (["list", self.file, "--tenant", "a"], "--tenant: expected an action that has it, found key list"),
            (["list", self.file.parent / "none"], "expected a file of keys, found none; loraxs key create"),
            (["revoke", self.file], "expected FILE and the ID"),
            (["revoke", self.file, "key-0"], "expected the id of a key in it, found key-0"),
        ):
            with self.subTest(words=words):
                message = self.key(*words, code=2).stderr
                self.assertIn(part, message)
                self.assertLess(len(message), 500)
        self.assertEqual(self.file.read_bytes(), before)
        self.file.chmod(0o644)
        self.assertIn("chmod 600", self.key("list", self.file, code=2).stderr)
        self.file.chmod(0o600)
        self.file.write_text("{")
        self.assertIn("expected JSON", self.key("create", self.file, "--tenant", "a", code=2).stderr)
        self.assertEqual(self.file.read_text(), "{")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
