"""Corpora that have a name, an address and a known sha256: fetched once, checked, kept in the cache."""

import hashlib
import http.client
import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from growlab.data.cache import entry_path, put
from growlab.errors import DataError
from growlab.files import sha256_of

_TIMEOUT_S = 30  # without a byte


@dataclass(frozen=True, kw_only=True)
class Download:
    """A file that is right when its sha256 is: a copy put into the cache by hand is as good."""

    name: str
    url: str
    sha256: str
    n_bytes: int
    variable: str  # of the environment: another address of the same bytes

    @property
    def path(self) -> Path:
        return entry_path(self._file_name)

    def file(self) -> Path:
        """Find the cached copy; fetch it first where it is missing or damaged. Raises DataError."""
        if not self.is_kept():
            put(self._file_name, self._fetched())
        return self.path

    def is_kept(self) -> bool:
        """Whether the right file is in the cache. Nothing is fetched."""
        try:
            return sha256_of(self.path) == self.sha256
        except OSError:  # not there, or cannot be read: another copy is as good
            return False

    def remedy(self) -> str:
        """Say what to do where the file cannot be fetched."""
        return (
            f"put the file ({self.n_bytes:,} bytes, sha256 {self.sha256[:12]}…) at {self.path}, "
            f"or set {self.variable} to a mirror"
        )

    def _fetched(self) -> bytes:
        url = os.environ.get(self.variable) or self.url
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
                content: bytes = answer.read(self.n_bytes + 1)
        except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: no address at all
            raise DataError(f"{self.name}: cannot be fetched from {url} ({error}); {self.remedy()}") from None
        if (sha256 := hashlib.sha256(content).hexdigest()) != self.sha256:
            size = f"more than {self.n_bytes:,}" if len(content) > self.n_bytes else f"{len(content):,}"
            raise DataError(
                f"{self.name}: {url} sent another file ({size} bytes, sha256 {sha256[:12]}…); {self.remedy()}"
            )
        return content

    @property
    def _file_name(self) -> str:
        return f"{self.name}.txt"


TINY_SHAKESPEARE = Download(
    name="tiny-shakespeare",
    url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    n_bytes=1_115_394,
    variable="GROWLAB_TINY_SHAKESPEARE_URL",
)
