"""schemathesis against the /openapi.json of a decoder and of an encoder: no answer of 500 or more, and each as the document says.

usage: schemathesis_soak.py PROGRAM ORACLES [--examples 200] [--schemathesis build/schemathesis/bin/schemathesis]   (made by scripts/soak)
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from support.server import Server

# positive_data_acceptance is left out: which names, texts and ids there are is no part of a schema, so right ones are refused with 400 and 404.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,negative_data_rejection,unsupported_method,ignored_auth"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("oracles", type=Path)
    parser.add_argument("--examples", type=int, default=200, help="of each operation")
    parser.add_argument("--schemathesis", default="build/schemathesis/bin/schemathesis")
    options = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        words = [options.program, "key", "create", str(folder / "keys.json"), "--tenant", "t", "--rights", "infer", "manage", "operate", "--json"]  # fmt: skip
        key = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)["key"]
        for model in (options.oracles / "generation", Path("models/minilm").resolve()):
            words = ["--model", model, "--cache", folder / "cache"]
            with Server(options.program, *words, "--keys", folder / "keys.json", "--context", 64) as server:
                done = subprocess.run([
                    options.schemathesis, "run", server.url + "/openapi.json", "-H", f"Authorization: Bearer {key}",
                    "--checks", CHECKS, "--max-examples", str(options.examples), "--request-timeout", "30", "--seed", "1",
                    "--continue-on-failure", "--generation-database", "none", "--no-color", "--warnings", "off",
                ], check=False, cwd=folder)  # fmt: skip
                failed = failed or done.returncode != 0 or server.process.poll() is not None
    sys.exit(failed)


if __name__ == "__main__":
    main()
