"""Seeds that are made of others: equal on every machine and in every process, unlike Python's hash()."""

import hashlib


def derived_seed(*parts: object) -> int:
    """A seed of 31 bits for what these parts name, such as a study's seed, a number and a purpose."""
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
