import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from growlab.data import CharTokenizer, load_corpus
from growlab.data.cache import keep
from growlab.errors import DataError
from growlab.files import write_atomically
from growlab.specs import DataSpec

SpecOf = Callable[..., DataSpec]
Sha256Of = Callable[[str], str]
AsNobody = Callable[[], AbstractContextManager[None]]
TEXT = "".join(map(chr, range(0x100, 0x300))) * 4  # 512 characters, so two bytes per id


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "ids truncated": lambda ids, about: ids.write_bytes(ids.read_bytes()[:-1]),
    "ids empty": lambda ids, about: ids.write_bytes(b""),
    "ids with a flipped bit": lambda ids, about: flip_a_byte(ids),
    "ids missing": lambda ids, about: ids.unlink(),
    "json missing": lambda ids, about: about.unlink(),
    "json truncated": lambda ids, about: about.write_bytes(about.read_bytes()[:-3]),
    "json without a hash": lambda ids, about: about.write_text("{}"),
    "json of another shape": lambda ids, about: about.write_text("[1, 2]"),
}


def only_entry(cache: Path) -> tuple[Path, Path]:
    [ids] = cache.glob("data/*.ids")
    return ids, ids.with_name(f"{ids.name}.json")


def test_ids_lie_beside_a_json_that_describes_them(sha256_of: Sha256Of, spec_of: SpecOf, cache: Path) -> None:
    corpus = load_corpus(spec_of(TEXT))

    ids, about = only_entry(cache)

    assert ids.name == f"{sha256_of(TEXT)}-char-v2.ids"
    assert ids.read_bytes() == corpus.tokenizer.encode(TEXT).tobytes()
    assert json.loads(about.read_text()) == {
        "dtype": "uint16",
        "n_tokens": len(TEXT),
        "sha256": hashlib.sha256(ids.read_bytes()).hexdigest(),
    }
    assert len(list(ids.parent.iterdir())) == 4  # the other two are the alphabet's


def test_kept_ids_are_used_again(spec_of: SpecOf, cache: Path) -> None:
    load_corpus(spec_of(TEXT))
    written_at = [file.stat().st_mtime_ns for file in only_entry(cache)]

    load_corpus(spec_of(TEXT))

    assert [file.stat().st_mtime_ns for file in only_entry(cache)] == written_at


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed_and_repaired(spec_of: SpecOf, cache: Path, damage: str) -> None:
    load_corpus(spec_of(TEXT))
    before = [file.read_bytes() for file in only_entry(cache)]
    DAMAGES[damage](*only_entry(cache))

    corpus = load_corpus(spec_of(TEXT))

    assert [file.read_bytes() for file in only_entry(cache)] == before
    assert corpus.tokenizer.decode(np.concatenate([corpus.train, corpus.val, corpus.test])) == TEXT


def test_a_corpus_in_use_outlives_the_repair_of_its_cache(spec_of: SpecOf, cache: Path) -> None:
    corpus = load_corpus(spec_of(TEXT))
    train = corpus.train.tolist()
    only_entry(cache)[1].unlink()

    load_corpus(spec_of(TEXT))

    assert corpus.train.tolist() == train


def test_each_tokenizer_and_each_text_has_its_own_entry(spec_of: SpecOf, cache: Path) -> None:
    load_corpus(spec_of(TEXT))
    load_corpus(spec_of(TEXT, tokenizer="byte"))
    load_corpus(spec_of(TEXT[::-1]))

    assert len(list(cache.glob("data/*.ids"))) == 3


def test_processes_that_build_at_once_all_get_the_ids(sha256_of: Sha256Of, tmp_path: Path, cache: Path) -> None:
    texts = [chr(0x300 + number) + TEXT * 50 for number in range(20)]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_bytes(text.encode())

    workers = [
        subprocess.Popen(
            [sys.executable, "-c", LOAD_ALL, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * 3
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()
    said = [worker.communicate(timeout=180)[0].split() for worker in workers]

    assert said == [[sha256_of(text) for text in texts]] * 3
    assert len(list((cache / "data").iterdir())) == 4 * len(texts)


LOAD_ALL = """
import hashlib
import sys
import numpy as np
from growlab.data import load_corpus
from growlab.scalar import with_defaults
from growlab.specs import DataSpec

print("ready", flush=True)
sys.stdin.readline()  # else the first would be done before the last has imported numpy
for number in range(20):
    corpus = load_corpus(with_defaults(DataSpec, path=f"{sys.argv[1]}/{number}.txt"))
    text = corpus.tokenizer.decode(np.concatenate([corpus.train, corpus.val, corpus.test]))
    print(hashlib.sha256(text.encode()).hexdigest())
"""


def test_a_cache_that_cannot_be_written_is_named_with_a_remedy(
    spec_of: SpecOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GROWLAB_CACHE", str(tmp_path / "file"))

    with pytest.raises(
        DataError, match=r"/file/data/.*-char-v2\.tokenizer: cannot be written to the cache: .* set GROWLAB_CACHE"
    ):
        load_corpus(spec_of(TEXT))


def test_a_cache_that_may_only_be_read_is_enough_when_all_is_in_it(
    spec_of: SpecOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_nobody: AsNobody
) -> None:
    monkeypatch.chdir(tmp_path)  # another user may not come here by the absolute path
    monkeypatch.setenv("GROWLAB_CACHE", "cache")
    spec = replace(spec_of(TEXT), path="corpus.txt")
    load_corpus(spec)
    for folder in (tmp_path, tmp_path / "cache", tmp_path / "cache" / "data"):
        folder.chmod(0o555)

    with as_nobody():
        assert load_corpus(spec).tokenizer == CharTokenizer.for_text(TEXT)
        with pytest.raises(DataError, match=r"-byte-v2\.ids: cannot be written to the cache: Permission denied; make"):
            load_corpus(replace(spec, tokenizer="byte"))

    for folder in (tmp_path, tmp_path / "cache", tmp_path / "cache" / "data"):
        folder.chmod(0o700)


def test_pieces_are_written_as_one(tmp_path: Path) -> None:
    file = tmp_path / "new" / "file"

    sha256 = write_atomically(file, (piece for piece in (b"ab", memoryview(b"c"), b"")))

    assert file.read_bytes() == b"abc"
    assert sha256 == write_atomically(file, b"abc") == hashlib.sha256(b"abc").hexdigest()
    assert list(file.parent.iterdir()) == [file]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()

    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path / "taken", b"content")

    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("damage", ["bit", "missing"])
def test_a_damaged_alphabet_is_learnt_again(spec_of: SpecOf, cache: Path, damage: str) -> None:
    load_corpus(spec_of(TEXT))
    [kept] = cache.glob("data/*.tokenizer")
    before = kept.read_bytes()
    flip_a_byte(kept) if damage == "bit" else kept.unlink()

    corpus = load_corpus(spec_of(TEXT))

    assert kept.read_bytes() == before
    assert corpus.tokenizer == CharTokenizer.for_text(TEXT)


def test_nothing_is_kept_of_a_text_that_breaks_off(cache: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise DataError("no more")

    with pytest.raises(DataError, match="no more"):
        keep("name", broken(), {})

    assert list((cache / "data").iterdir()) == []


def test_a_half_written_entry_is_not_there(sha256_of: Sha256Of, cache: Path, spec_of: SpecOf) -> None:
    """Killed after the ids and before their JSON."""
    name = f"{sha256_of(TEXT)}-char-v2.ids"
    keep(name, [b"half of th"], {})
    (cache / "data" / f"{name}.json").unlink()

    corpus = load_corpus(spec_of(TEXT))

    assert corpus.train.size + corpus.val.size + corpus.test.size == len(TEXT)
