"""The installed package: moved, found by CMake, built against, run with LibTorch in another place. Arguments: BUILD MODEL."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import torch

BUILD, MODEL = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
ROOT = Path(__file__).parents[2]
TORCH = Path(torch.__path__[0])


def run(*command: object, **environment: str) -> subprocess.CompletedProcess:
    """With no environment but what is given: no LORAXS_TORCH, LD_LIBRARY_PATH or VIRTUAL_ENV of the caller."""
    base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run([str(part) for part in command], env=base | environment, capture_output=True, text=True, check=False)  # fmt: skip


class PackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.scratch.name)
        made = run("cmake", "--install", BUILD, "--prefix", cls.folder / "installed")
        assert made.returncode == 0, made.stderr
        cls.prefix = (cls.folder / "installed").rename(cls.folder / "moved")
        # LibTorch in another place than the build's.
        (cls.folder / "elsewhere").mkdir()
        cls.torch = cls.folder / "elsewhere" / "torch"
        cls.torch.symlink_to(TORCH)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.scratch.cleanup()

    def succeeded(self, result: subprocess.CompletedProcess) -> str:
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout

    def refused(self, result: subprocess.CompletedProcess, *parts: str) -> None:
        """Exit 2 and one sentence on stderr that contains all parts."""
        self.assertEqual(result.returncode, 2, result.stdout + result.stderr)
        lines = result.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, result.stderr)
        for part in parts:
            self.assertIn(part, lines[0])

    def test_no_path_of_the_build(self) -> None:
        for path in self.prefix.rglob("*"):
            if path.suffix in (".cmake", ".h"):
                for folder in (str(ROOT), str(BUILD), str(TORCH)):
                    self.assertNotIn(folder, path.read_text(), path)
        for path in (self.prefix / "bin/loraxs", *self.prefix.rglob("libloraxs.so")):
            dynamic = self.succeeded(run("readelf", "-d", path))
            for runpath in re.findall(r"R(?:UN)?PATH.*\[(.*)\]", dynamic):
                self.assertTrue(all(part.startswith("$ORIGIN") for part in runpath.split(":")), runpath)

    def test_headers_name_each_other_from_include(self) -> None:
        headers = list((self.prefix / "include/loraxs").rglob("*.h"))
        self.assertGreater(len(headers), 40)
        for path in headers:
            for name in re.findall(r'#include "(.*)"', path.read_text()):
                self.assertTrue((self.prefix / "include" / name).exists(), f"{path}: {name}")

    def test_program_finds_torch(self) -> None:
        program = self.prefix / "bin/loraxs"
        self.assertIn("0.1.0", self.succeeded(run(program, "--version")))  # needs no LibTorch
        self.refused(run(program, "doctor"), "libtorch", "LORAXS_TORCH", "2.13")
        self.refused(run(program, "doctor", LORAXS_TORCH="/nowhere"), "LORAXS_TORCH=/nowhere", "lib/libtorch.so")
        other = self.folder / "other"
        (other / "lib").mkdir(parents=True)
        (other / "lib/libtorch.so").write_text("")
        (other / "version.py").write_text("__version__ = '2.8.0+cpu'\n")
        self.refused(run(program, "doctor", LORAXS_TORCH=str(other)), "2.13", "2.8.0+cpu")
        params = (program, "params", MODEL, "--json")
        environment = self.folder / "venv"
        (environment / "lib/python3.11/site-packages").mkdir(parents=True)
        (environment / "lib/python3.11/site-packages/torch").symlink_to(TORCH)
        expected = self.succeeded(run(*params, LORAXS_TORCH=str(self.torch)))
        self.assertEqual(self.succeeded(run(*params, LD_LIBRARY_PATH=str(self.torch / "lib"))), expected)
        self.assertEqual(self.succeeded(run(*params, VIRTUAL_ENV=str(environment))), expected)

    def test_example_is_built_on_the_moved_package(self) -> None:
        source, build = ROOT / "examples/sentiment", self.folder / "example"
        configure = ("cmake", "-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release")
        self.succeeded(run(*configure, f"-DCMAKE_PREFIX_PATH={self.prefix};{self.torch}"))
        self.succeeded(run("cmake", "--build", build))
        self.assertLessEqual(len((source / "main.cpp").read_text().splitlines()), 60)
        cache = {"XDG_CACHE_HOME": str(self.folder / "cache")}
        output = self.succeeded(run(build / "sentiment", MODEL, self.folder / "run", **cache))
        labels = [line.split()[0] for line in output.splitlines()]
        self.assertEqual(labels, ["good", "bad", "accuracy"])
        self.assertGreaterEqual(float(output.splitlines()[2].split()[1].rstrip(",")), 0.9)
        # The adapter it wrote is the program's too.
        adapter = self.folder / "run/seed-0/best.safetensors"
        shown = run(self.prefix / "bin/loraxs", "show", adapter, LORAXS_TORCH=str(self.torch))
        self.assertIn("opinions", self.succeeded(shown))
        # Errors cross the library's border.
        self.refused(run(build / "sentiment", MODEL, self.folder / "run", **cache), "expected no run there")
        self.refused(run(build / "sentiment", "/nowhere", self.folder / "no", **cache), "/nowhere")

    def needed(self, library: Path) -> set[str]:
        return set(re.findall(r"NEEDED.*\[(.*)\]", self.succeeded(run("readelf", "-d", library))))

    def test_archive(self) -> None:
        packed = self.succeeded(run(ROOT / "scripts/package", BUILD)).split(":")[0]
        shutil.unpack_archive(ROOT / packed, self.folder / "unpacked")
        (top,) = (self.folder / "unpacked").iterdir()
        for name in ("README.md", "LICENSE", "bin/loraxs", "include/loraxs/api/training.h"):
            self.assertTrue((top / name).exists(), name)
        # What is bundled is named by libloraxs.so itself, whose RUNPATH finds it; and its own needs are met that way too.
        (library,) = top.glob("lib*/libloraxs.so")
        bundled = {path.name: path for path in top.glob("lib*/loraxs/*")}
        direct = self.needed(library)
        self.assertTrue(any(name.startswith("libicu") for name in direct))
        for path in (library, *bundled.values()):
            self.assertLessEqual({n for n in self.needed(path) if re.match("libicu|liblmdb|libyaml|libpcre", n)}, direct & bundled.keys())  # fmt: skip
        torch_here = {"LORAXS_TORCH": str(self.torch)}
        doctor = self.succeeded(run(top / "bin/loraxs", "doctor", "--json", **torch_here))
        self.assertEqual(json.loads(doctor)["torch"], torch.__version__.split("+")[0])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
