"""A `loraxs serve` for a test: started, waited for, ended."""

import json
import re
import signal
import subprocess
import sys
import threading
import unittest
import urllib.request
from pathlib import Path

from typing_extensions import Self


class Server:
    """`with Server(PROGRAM, "--model", …) as server`: `server.url` is "http://127.0.0.1:PORT"."""

    def __init__(self, program: str, *words: object, key: str = "", wait_s: float = 60) -> None:
        self.command = [program, "serve", "--port", "0", *map(str, words)]
        self.key, self.wait_s, self.said = key, wait_s, []

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        listening = threading.Event()
        self.url = ""

        def read() -> None:
            for line in self.process.stderr:
                self.said.append(line)
                if found := re.search(r"listening=(\S+)", line):
                    self.url = found[1]
                    listening.set()
            listening.set()

        self.reader = threading.Thread(target=read, daemon=True)
        self.reader.start()
        if not listening.wait(self.wait_s) or not self.url:
            self.process.kill()
            raise AssertionError("".join(self.said) or "the server said nothing")
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
        self.reader.join(10)

    def ask(self, method: str, path: str, body: object = None, key: str | None = None) -> tuple[int, dict]:
        """Status and JSON of one request."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        if key or (key is None and self.key):
            headers["Authorization"] = f"Bearer {key or self.key}"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text.startswith(b"{") else {"text": text.decode()}
        except urllib.error.HTTPError as refused:
            return refused.code, json.loads(refused.read() or b"{}")


def check_page(test: unittest.TestCase, server: Server, folder: Path) -> None:
    """The server's page in a browser (tests/program/page_test.py), or a skip that says what is missing."""
    words = [
        sys.executable,
        "tests/program/page_test.py",
        server.url,
        str(folder),
        *([server.key] if server.key else []),
    ]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=400)
    missing = 77
    if done.returncode == missing:
        test.skipTest(done.stdout.strip())
    test.assertEqual(done.returncode, 0, done.stdout + done.stderr)


def resident_bytes(process: subprocess.Popen) -> int:
    """Of a running process."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024
