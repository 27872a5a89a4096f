"""Waiting for a database that does not answer, and telling so once each time."""

import math
import time

from growlab.preparation.telling import Tell
from growlab.storage import Patience

_TOLD_AGAIN_S = 30.0  # without a try: the next one belongs to another outage


def telling_patience(seconds: float, tell: Tell) -> Patience:
    """Patience of so many seconds with a database that does not answer, which is told once each time."""
    told_at = -math.inf

    def goes_on(why: str) -> bool:
        nonlocal told_at
        if time.monotonic() - told_at > _TOLD_AGAIN_S:
            tell(f"the database does not answer ({why}); waiting for it, and the workers train on")
        told_at = time.monotonic()
        return True

    return Patience(seconds, goes_on)
