"""A PostgreSQL of one's own, from the system's binaries: one that may be stopped, killed and started again."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.sql import SQL, Identifier

STOPS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "killed": signal.SIGKILL}
START_S = 60.0  # what a start may take, recovery included


def binary(name: str) -> str | None:
    """The path of a program of PostgreSQL, which Debian keeps off the PATH."""
    folders = map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *folders]))


def is_possible() -> bool:
    return bool(binary("initdb") and binary("postgres")) and (os.geteuid() != 0 or _has_postgres_user())


class Server:
    """Runs within a `with`, on a free port of 127.0.0.1; its files are gone afterwards."""

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="growlab-chaos-"))
        self._identity: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            self._identity = {"user": "postgres", "group": pwd.getpwnam("postgres").pw_gid, "extra_groups": []}
            shutil.chown(self._folder, "postgres", self._identity["group"])
        self._port = _free_port()
        self._log = (self._folder / "log").open("wb")
        initdb = self._popen("initdb", "-U", "postgres", "-A", "trust", "--no-sync")
        assert initdb.wait() == 0, self.words()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.stop("immediate")
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Returns when it answers. A server that was killed leaves processes that must have ended before."""
        until = time.monotonic() + START_S
        while True:
            options = ("listen_addresses=127.0.0.1", f"unix_socket_directories={self._folder}", "fsync=off")
            words = [word for option in options for word in ("-c", option)]
            self._process = self._popen("postgres", "-p", str(self._port), *words)
            while self._process.poll() is None and time.monotonic() < until:
                if _answers(self._url("postgres")):
                    return
                time.sleep(0.1)
            if time.monotonic() > until:
                raise TimeoutError(f"PostgreSQL did not start within {START_S:.0f} s: {self.words()}")

    def stop(self, how: str) -> None:
        self._process.send_signal(STOPS[how])
        self._process.wait()

    def new_database(self, name: str) -> str:
        """Its URL."""
        with closing(psycopg.connect(self._url("postgres"), autocommit=True)) as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        return self._url(name)

    def words(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2000:]

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"

    def _popen(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [binary(program) or program, "-D", str(self._folder / "data"), *words],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for us, who stop it in order
            **self._identity,
        )


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


def _has_postgres_user() -> bool:
    return any(each.pw_name == "postgres" for each in pwd.getpwall())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
