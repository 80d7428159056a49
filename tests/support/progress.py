"""Lines of progress on stderr, which come on a busy machine and not on an idle one."""

import re

PROGRESS = re.compile(r"^(\w+ seconds=\d+|\w+=\d+/\d+ .*|basis: of .*)$")


def without_progress(stderr: str) -> list[str]:
    """The other lines."""
    return [line for line in stderr.strip().splitlines() if not PROGRESS.match(line)]
