"""A recording that is broken off is known by what it led to, and its process by having had one."""

import pytest
import torch

from growlab.faults import is_out_of_memory
from growlab.training import recording


class BrokenGraph:
    """A graph that ends as one of CUDA does in whose recording something failed."""

    def __init__(self) -> None:
        self.failed = False

    def capture_begin(self, *pool: object) -> None:
        pass

    def capture_end(self) -> None:
        if self.failed:
            raise torch.AcceleratorError("CUDA error: operation failed due to a previous error during capture")


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_broke_off", False)


@pytest.mark.usefixtures("sound")
def test_a_recording_that_runs_out_of_memory_says_so_and_leaves_its_process_unsound() -> None:
    def record(graph: BrokenGraph) -> None:
        with recording.recording(graph, None):
            graph.failed = True
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    with pytest.raises(torch.AcceleratorError) as raised:
        record(BrokenGraph())

    assert is_out_of_memory(raised.value)
    assert recording.broke_off()


@pytest.mark.usefixtures("sound")
def test_a_recording_that_ends_well_leaves_its_process_as_it_was() -> None:
    with recording.recording(BrokenGraph(), None):
        pass

    assert not recording.broke_off()
