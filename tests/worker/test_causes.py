import pytest
import torch

from growlab.faults import refused_operation
from growlab.records import TrialState
from growlab.training.device import DeviceMemory, device_memory
from growlab.worker.causes import crowded_out, held_by_others, out_of_memory
from growlab.worker.packing import Probe

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


def test_an_operation_that_torch_refuses_is_named_and_no_other_error_is_taken_for_one() -> None:
    refused = RuntimeError("cumsum_cuda_kernel does not have a deterministic implementation, but you set 'torch.use")

    assert refused_operation(refused).startswith("--deterministic: cumsum_cuda_kernel has no deterministic form")
    assert refused_operation(RuntimeError("CUDA error: unspecified launch failure")) == ""


def test_a_context_of_cuda_is_nobody_elses_memory() -> None:
    assert held_by_others(DeviceMemory(total=80 * GIB, free=80 * GIB, reserved=0, peak=0)) == 0
    assert held_by_others(DeviceMemory(total=80 * GIB, free=79 * GIB, reserved=0, peak=0)) == GIB // 2


def test_a_refused_operation_is_known_by_what_it_led_to() -> None:
    error = RuntimeError("the backward pass failed")
    error.__context__ = RuntimeError("cumsum does not have a deterministic implementation, but you set it")

    assert refused_operation(error).startswith("--deterministic: cumsum has no")


def test_a_trial_that_does_not_fit_has_failed_before_its_first_step(probe: Probe) -> None:
    result = out_of_memory(probe.spec, "d=16 conv mlp", "CUDA out of memory\nby so much")

    assert (result.state, result.error) == (TrialState.FAILED, "out of memory: CUDA out of memory")
    assert (result.layout_end, result.depth_end, result.steps, result.val_loss) == ("d=16 conv mlp", 2, 0, None)
    assert out_of_memory(probe.spec, "", "").error == "out of memory"  # a MemoryError says no more
