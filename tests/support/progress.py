"""Lines on stderr that tell of progress, which come on a busy machine and not on an idle one, or of speed."""

import re

PROGRESS = re.compile(r"^(precision=\w+ prompt_tokens=.*|\w+ seconds=\d+|\w+=\d+/\d+ .*|basis: of .*)$")


def without_progress(stderr: str) -> list[str]:
    """The other lines."""
    return [line for line in stderr.strip().splitlines() if not PROGRESS.match(line)]
