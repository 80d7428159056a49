"""A PostgreSQL server of a test's own, on a socket in a temporary folder. It refuses root: nobody's rights do."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from typing_extensions import Self


def programs() -> Path | None:
    """Debian keeps the server's programs beside its libraries; none where it is not installed."""
    found = sorted(path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1] if found else None


class Postgres:
    """`with Postgres() as server`: `server.url` is a database."""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="loraxs-pg-"))
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        self.run(
            "initdb", "-D", self.folder / "data", "-U", "loraxs", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"
        )
        self.start()
        self.run("createdb", "-h", self.folder, "-U", "loraxs", "db")
        self.url = f"postgresql://loraxs@/db?host={self.folder}"
        return self

    def __exit__(self, *_: object) -> None:
        if self.runs:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        settings = f"-k {self.folder} -c listen_addresses='' -c max_connections=40"
        self.run("pg_ctl", "-D", self.folder / "data", "-w", "-l", self.folder / "log", "-o", settings, "start")
        self.runs = True

    def stop(self) -> None:
        self.run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")
        self.runs = False

    def run(self, program: str, *words: object) -> None:
        as_nobody = (
            ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"] if os.geteuid() == 0 else []
        )
        command = [*as_nobody, str(programs() / program), *map(str, words)]
        done = subprocess.run(command, check=False, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        assert done.returncode == 0, command
