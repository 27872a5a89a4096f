"""The corpus that was loaded last, for a process that serves many trials of one study."""

from collections.abc import Sequence
from types import MappingProxyType

from growlab.data.corpus import Corpus, load_corpus
from growlab.data.sources import SOURCES, TokenSource
from growlab.moved import Moved, moved_data
from growlab.specs import DataSpec, StageSpec


class RecentCorpus:
    """A memory of load_corpus: a text or a task is read and hashed once, as long as the same one is asked for.

    What becomes of the text meanwhile changes nothing: its ids lie in the cache under its hash, which replaces
    files and never writes into one, and a file that is deleted stays as long as it is mapped. A .bin is mapped
    where it lies, and whoever owns it may write into it: it is read and hashed each time.
    """

    def __init__(self, moved: Moved = MappingProxyType({})) -> None:
        """Remember in `moved` the texts that lie elsewhere than where a spec says."""
        self._moved = moved
        self._last: tuple[tuple[DataSpec, tuple[StageSpec, ...]], Corpus] | None = None

    def load(self, spec: DataSpec, curriculum: Sequence[StageSpec] = ()) -> Corpus:
        """Load a corpus, or give the last one again. Raises what load_corpus raises."""
        asked = spec, tuple(curriculum)
        if self._last is None or self._last[0] != asked or isinstance(SOURCES[spec.source], TokenSource):
            self._last = None  # two are never held at once
            self._last = asked, load_corpus(*moved_data(spec, curriculum, self._moved))
        return self._last[1]
