import pytest
import torch

from growlab.training.device import DeviceMemory, device_memory
from growlab.worker.causes import crowded_out

GIB = 2**30


@pytest.mark.parametrize(
    ("free", "reserved", "crowded"),
    [
        (2 * GIB, 77 * GIB, False),  # the trial itself fills the device
        (0, 72 * GIB, False),  # others hold 7.5 GiB, less than a tenth
        (0, 70 * GIB, True),  # … 9.5 GiB
        (1 * GIB, 20 * GIB, True),
        (80 * GIB, 0, False),  # nobody holds anything
    ],
)
def test_a_trial_is_to_blame_unless_others_hold_a_tenth_of_the_device(free: int, reserved: int, crowded: bool) -> None:
    memory = DeviceMemory(total=80 * GIB, free=free, reserved=reserved, peak=reserved)

    assert bool(crowded_out(memory)) is crowded


def test_where_a_device_does_not_say_what_others_hold_the_trial_is_to_blame() -> None:
    assert crowded_out(device_memory(torch.device("cpu"))) == ""


def test_a_trial_that_was_crowded_out_is_told_by_how_much() -> None:
    words = crowded_out(DeviceMemory(total=80 * GIB, free=GIB, reserved=20 * GIB, peak=20 * GIB))

    assert words == (
        "out of memory beside others, which hold 58.5 GiB of the device's 80.0 GiB; fewer --slots leave more to each"
    )
