"""The program among others: pipes that close, disks that fill, Ctrl-C, few cores. Arguments: PROGRAM ORACLES."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

from support.tiny_run import TrainedRunTest, train_command

PROGRAM, ORACLES = sys.argv[1], Path(sys.argv[2])


class NeighboursTest(TrainedRunTest):
    oracles, program = ORACLES, PROGRAM

    def predict(self, lines: int = 20_000) -> list[str]:
        path = self.folder / f"texts-{lines}.txt"
        path.write_text("abc xyz hello kq\n" * lines)
        return self.on_model("predict", "-t", "1", "--input", str(path))

    def test_a_closed_pipe_ends_quietly(self) -> None:
        """Also where the parent ignores SIGPIPE and hands that on."""
        for restore in (True, False):
            with self.subTest(restore):
                process = subprocess.Popen(self.predict(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, restore_signals=restore)  # fmt: skip
                self.assertTrue(process.stdout.readline())
                process.stdout.close()
                self.assertEqual(process.stderr.read(), b"")
                process.stderr.close()
                self.assertEqual(process.wait(), -signal.SIGPIPE)

    def test_output_that_cannot_be_written_is_an_error(self) -> None:
        with open("/dev/full", "w") as full:
            for command in (self.predict(3), [PROGRAM, "--help"]):
                done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
                self.assertEqual(done.returncode, 2, command)
                self.assertRegex(done.stderr, "standard output: cannot write: No space left on device")

    def test_no_file_takes_the_place_of_closed_descriptors(self) -> None:
        out = self.folder / "report.html"
        shell = 'exec "$@" <&- >&- 2>&-'
        done = subprocess.run(["sh", "-c", shell, "sh", *self.predict(3)], check=False)
        self.assertEqual(done.returncode, 2)
        export = self.on_model("export", "--format", "peft", "--out", str(out))
        subprocess.run(["sh", "-c", shell, "sh", *export], check=False)
        config = json.loads((out / "adapter_config.json").read_text())  # the file alone, no line of output in it
        self.assertEqual(config["peft_type"], "LORA")

    def test_ctrl_c_gives_130(self) -> None:
        for command in (self.predict(), [PROGRAM, "doctor"]):
            with self.subTest(command[1]):
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                maps = Path(f"/proc/{process.pid}/maps")
                while "libtorch_cpu" not in maps.read_text():  # at its own work, or nearly
                    self.assertIsNone(process.poll(), "ended before it could be interrupted")
                    time.sleep(0.005)
                process.send_signal(signal.SIGINT)
                message = process.stderr.read()
                process.stderr.close()
                self.assertEqual((process.wait(), message), (130, b""))

    def test_a_background_job_keeps_ignoring_ctrl_c(self) -> None:
        command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *self.predict(20_000)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(), 0)

    def test_threads_are_the_cores_that_are_allowed(self) -> None:
        def one_core() -> None:
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])

        done = subprocess.run([PROGRAM, "doctor", "--json"], preexec_fn=one_core, capture_output=True, text=True, check=True)  # fmt: skip
        found = json.loads(done.stdout)
        self.assertEqual((found["threads"], found["cores"]["affinity"], found["cores"]["allowed"]), (1, 1, 1))

    def test_more_threads_than_cores_are_a_hint_and_none_an_error(self) -> None:
        show = [PROGRAM, "show", str(self.folder / "whole/seed-0/best.safetensors")]
        many = subprocess.run([*show, "-t", "500"], capture_output=True, text=True, check=True)
        self.assertIn("--threads 500: more than the ", many.stderr)
        quiet = subprocess.run([*show, "-t", "500", "-q"], capture_output=True, text=True, check=True)
        self.assertEqual((quiet.stderr, quiet.stdout), ("", many.stdout))
        dry = train_command(PROGRAM, self.folder, "dry", "--dry-run", "--set")
        for number in ("0", "1025", "4294967296"):  # libgomp ends the process where one cannot be made
            none = subprocess.run([*show, "-t", number], capture_output=True, text=True, check=False)
            self.assertEqual((none.returncode, none.stdout), (2, ""))
            self.assertIn(f"--threads: expected a whole number from 1 to 1024, found {number}", none.stderr)
            if number != "0":  # of a recipe: all cores
                none = subprocess.run([*dry, f"threads={number}"], capture_output=True, text=True, check=False)
                self.assertEqual((none.returncode, none.stdout), (2, ""))
                self.assertRegex(none.stderr, "threads: expected .*, found " + number)

    def test_waiting_threads_spin_little_unless_the_user_says_otherwise(self) -> None:
        for environment, expected in (
            ({}, range(1, 20_001)),
            ({"GOMP_SPINCOUNT": "77"}, [77]),
            ({"OMP_WAIT_POLICY": "passive"}, [0]),
        ):
            with self.subTest(environment):
                clean = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
                show = [PROGRAM, "show", str(self.folder / "whole/seed-0/best.safetensors")]
                done = subprocess.run(show, env=clean | environment | {"OMP_DISPLAY_ENV": "verbose"}, capture_output=True, text=True, check=True)  # fmt: skip
                self.assertIn(int(re.search(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)[1]), expected)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
