"""A named download against a server of our own."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from growlab.data import load_corpus
from growlab.data.download import TINY_SHAKESPEARE, Download
from growlab.errors import DataError
from growlab.scalar import with_defaults
from growlab.specs import DataSpec

PLAY = b"First Citizen:\nBefore we proceed any further, hear me speak.\n" * 20
VARIABLE = "GROWLAB_TINY_SHAKESPEARE_URL"


@dataclass
class Served:
    url: str
    content: bytes = PLAY
    status: int = 200
    promised: int | None = None  # bytes, where not as many as are sent
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Hands out whatever `content` is; an environment with a proxy must not send us elsewhere."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            self.send_response(served.status)
            self.send_header("Content-Length", str(served.promised or len(served.content)))
            self.end_headers()
            self.wfile.write(served.content)

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        served = Served(f"http://127.0.0.1:{http.server_port}/play.txt")
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield served
        http.shutdown()
        thread.join()


@pytest.fixture
def play(server: Served, monkeypatch: pytest.MonkeyPatch) -> Download:
    """The real thing is another text; all else about it is the same."""
    play = replace(TINY_SHAKESPEARE, url=server.url, sha256=hashlib.sha256(PLAY).hexdigest(), n_bytes=len(PLAY))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("growlab.data.sources.TINY_SHAKESPEARE", play)
    return play


def test_a_corpus_by_name_is_fetched_once_and_kept(server: Served, play: Download, cache: Path) -> None:
    spec = with_defaults(DataSpec, source="tiny-shakespeare")

    corpora = [load_corpus(spec) for _ in range(2)]

    assert [corpus.sha256 for corpus in corpora] == [play.sha256] * 2
    assert server.asked == ["/play.txt"]
    assert (cache / "data" / "tiny-shakespeare.txt").read_bytes() == PLAY


def test_the_environment_may_name_a_mirror(server: Served, play: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, server.url.replace("play", "mirror"))

    play.file()

    assert server.asked == ["/mirror.txt"]


def test_a_damaged_copy_is_fetched_again(server: Served, play: Download) -> None:
    file = play.file()
    file.write_bytes(PLAY.replace(b"speak", b"squeak"))

    assert play.file().read_bytes() == PLAY
    assert len(server.asked) == 2


def test_a_copy_that_was_put_there_by_hand_is_as_good(server: Served, play: Download) -> None:
    play.path.parent.mkdir(parents=True)
    play.path.write_bytes(PLAY)

    assert play.file().read_bytes() == PLAY
    assert server.asked == []


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"<html>login</html>", "18 bytes"), (PLAY + b"!", r"more than 1,\d+ bytes"), (PLAY[:-1] + b"!", r"1,\d+ bytes")],
)
def test_another_file_is_refused_and_not_kept(
    server: Served, play: Download, cache: Path, content: bytes, said: str
) -> None:
    server.content = content

    with pytest.raises(
        DataError,
        match=rf"tiny-shakespeare: http://.*/play\.txt sent another file \({said}, sha256 \w{{12}}…\); put the",
    ):
        play.file()

    assert not list(cache.rglob("tiny-shakespeare*"))


def test_an_answer_that_breaks_off_is_refused(server: Served, play: Download, cache: Path) -> None:
    server.content, server.promised = PLAY[:100], len(PLAY)

    with pytest.raises(DataError, match=r"/play\.txt sent another file \(100 bytes, sha256 .*\); put the file"):
        play.file()

    assert not list(cache.rglob("tiny-shakespeare*"))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/play.txt", "Connection refused"),
        ("/no/address", "unknown url type"),
        ("http://127.0.0.1:1/with space", "URL can't contain control characters"),
    ],
)
def test_offline_the_message_says_where_to_put_which_file(
    play: Download, monkeypatch: pytest.MonkeyPatch, url: str, reason: str
) -> None:
    monkeypatch.setenv(VARIABLE, url)

    with pytest.raises(
        DataError,
        match=rf"^tiny-shakespeare: cannot be fetched from {url} \(.*{reason}.*\); put the file \(1,\d+ bytes, "
        rf"sha256 {play.sha256[:12]}…\) at {play.path}, or set {VARIABLE} to a mirror$",
    ):
        load_corpus(with_defaults(DataSpec, source="tiny-shakespeare"))


def test_a_server_that_refuses_is_named(server: Served, play: Download) -> None:
    server.status = 404

    with pytest.raises(DataError, match=r"cannot be fetched from .* \(HTTP Error 404: Not Found\)"):
        play.file()


def test_a_cache_that_cannot_be_written_is_named(
    server: Served, play: Download, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GROWLAB_CACHE", str(tmp_path / "file"))

    with pytest.raises(DataError, match=r"tiny-shakespeare\.txt: cannot be written to the cache: .* GROWLAB_CACHE"):
        play.file()


def test_the_real_one_is_nanogpts_text() -> None:
    assert TINY_SHAKESPEARE.n_bytes == 1_115_394
    assert TINY_SHAKESPEARE.sha256.startswith("86c4e6aa9db7c042")
    assert TINY_SHAKESPEARE.variable == VARIABLE
