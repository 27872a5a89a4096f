"""In which keys a stored study is not the one of a file."""

from growlab.preparation.differences import differing


def test_keys_that_differ_are_found_at_any_depth():
    stored = {"a": {"b": 1, "c": [2]}, "d": {}, "e": 5}
    other = {"a": {"b": 1, "c": [3]}, "d": {"x": 1}, "f": 6}

    assert list(differing(stored, other)) == [("a.c", [2], [3]), ("d.x", None, 1), ("e", 5, None), ("f", None, 6)]
