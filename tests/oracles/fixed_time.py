"""The moment at which templates are rendered; tests/support/fixed_time.h has the same. A test may run on the day after its oracle."""

from datetime import datetime

from transformers.utils import chat_template_utils

NOW = datetime(2025, 3, 9, 14, 5, 6)


class FixedDatetime(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(*NOW.timetuple()[:6])


def stop_the_clock() -> None:
    """For strftime_now of transformers' templates."""
    chat_template_utils.datetime = FixedDatetime
