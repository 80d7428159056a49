"""What the environment may do to a store while it is written: kill -9, power cuts, full and read-only disks, readers and a compaction.

Arguments: the writer (store_writer.cpp), the preloaded library (file_faults.cpp). STORE_FAULTS: moments of each kind; 24 by default,
`make soak` asks for 1,000. After each fault every row whose put had returned must be there, whole, and nothing torn beside it.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

WRITER, LIBRARY = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
MOMENTS = int(os.environ.get("STORE_FAULTS", "24"))
BATCHES = 24


def run(*words, acknowledged="", **environment):
    return subprocess.run(
        [str(WRITER), *map(str, words)],
        check=False,
        input=acknowledged,
        text=True,
        capture_output=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def whole_lines(text):
    """A line that a kill cut was never acknowledged."""
    return text[: text.rfind("\n") + 1]


class StoreFaults(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="loraxs-store-")
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name)
        self.number = 0

    def fresh(self):
        """A store with a history that the fault must leave alone, and its acknowledged rows."""
        self.number += 1
        url = f"lmdb://{self.root}/{self.number}"
        done = run("write", url, 6, 0)
        self.assertEqual(done.returncode, 0, done.stderr)
        return url, done.stdout

    def check(self, url, acknowledged, what):
        checked = run("check", url, acknowledged=acknowledged)
        self.assertEqual(checked.returncode, 0, f"{what}: {checked.stderr}")

    def write(self, url, **environment):
        return run("write", url, BATCHES, 1000, LD_PRELOAD=str(LIBRARY), FAULT_ROOT=str(self.root), **environment)

    def calls(self):
        """How many calls change files in a whole run, and which of them sync."""
        url, _ = self.fresh()
        syncs = self.root / "syncs"
        counted = self.root / "count"
        # Two files below the root would count themselves: beside it.
        with tempfile.TemporaryDirectory() as beside:
            syncs, counted = Path(beside) / "syncs", Path(beside) / "count"
            done = self.write(url, SYNC_FILE=str(syncs), COUNT_FILE=str(counted), FAULT="kill", FAULT_AT="0")
            self.assertEqual(done.returncode, 0, done.stderr)
            numbers = [int(line) for line in syncs.read_text().split()]
        return numbers

    def test_killed_at_any_moment(self):
        chance = random.Random(1)
        killed = 0
        for _ in range(MOMENTS):
            url, before = self.fresh()
            writer = subprocess.Popen([str(WRITER), "write", url, "400", "1000"], stdout=subprocess.PIPE, text=True)
            time.sleep(chance.uniform(0.005, 0.25))
            writer.kill()
            after, _ = writer.communicate(timeout=60)
            killed += writer.returncode < 0
            self.check(url, before + whole_lines(after), "killed")
            # Whoever comes next is kept out by nothing that the dead one left.
            again = run("write", url, 2, 5000)
            self.assertEqual(again.returncode, 0, again.stderr)
        self.assertGreater(killed, MOMENTS // 2)

    def power_cut(self, at, **environment):
        url, before = self.fresh()
        done = self.write(url, FAULT="power", FAULT_AT=str(at), **environment)
        return url, before + whole_lines(done.stdout), done

    def test_power_cut_at_syncs_and_between(self):
        syncs = self.calls()
        self.assertGreater(len(syncs), BATCHES)
        chance = random.Random(2)
        moments = chance.sample(syncs, min(MOMENTS, len(syncs))) + [
            chance.randint(1, syncs[-1]) for _ in range(MOMENTS)
        ]
        cut = 0
        for number, at in enumerate(moments):
            torn = {"FAULT_TORN": str(number + 1)} if number % 2 else {}
            url, acknowledged, done = self.power_cut(at, **torn)
            cut += done.returncode < 0
            self.check(url, acknowledged, f"power cut at call {at}, {torn}")
        self.assertGreater(cut, len(moments) // 2)

    def test_a_disk_that_lies_is_found(self):
        """The planted mistake: syncs that do nothing. A power cut then loses rows, and the check must say so."""
        syncs = self.calls()
        found = 0
        for at in syncs[len(syncs) // 2 :: max(1, len(syncs) // 12)]:
            url, acknowledged, _ = self.power_cut(at, FAULT_LIES="1")
            found += run("check", url, acknowledged=acknowledged).returncode != 0
        self.assertGreater(found, 3)

    def test_full_and_read_only_disks(self):
        syncs = self.calls()
        chance = random.Random(3)
        refused = 0
        for number in range(MOMENTS):
            fault = ["ENOSPC", "EROFS", "EIO", "short"][number % 4]
            at = chance.randint(1, syncs[-1])
            url, before = self.fresh()
            done = self.write(url, FAULT=fault, FAULT_AT=str(at), FAULT_STAYS="1" if number % 2 else "0")
            if done.returncode != 0:
                self.assertEqual(done.returncode, 2, f"{fault} at {at}: {done.stderr}")
                self.assertRegex(done.stderr, r"^loraxs: .*(space|[Rr]ead-only|error|full)", f"{fault} at {at}")
                refused += 1
            self.check(url, before + whole_lines(done.stdout), f"{fault} at call {at}")
        self.assertGreater(refused, MOMENTS // 2)

    def test_readers_writer_compaction_and_backup(self):
        url, acknowledged = self.fresh()
        seconds = float(os.environ.get("STORE_RACE_SECONDS", "6"))
        readers = [
            subprocess.Popen(
                [str(WRITER), "race", url, str(seconds), str(i)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for i in range(8)
        ]
        until = time.monotonic() + seconds
        seed = 1000
        while time.monotonic() < until:  # compacts too
            done = run("write", url, 30, seed)
            self.assertEqual(done.returncode, 0, done.stderr)
            acknowledged += done.stdout
            seed += 1000
        for reader in readers:
            out, error = reader.communicate(timeout=60)
            self.assertEqual(reader.returncode, 0, error)
            self.assertGreater(int(out.split()[1]), 10)
        self.check(url, acknowledged, "race")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
