import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from growlab.errors import UsageError
from growlab.specs import TrialSpec
from growlab.training.device import (
    autocast,
    begin_peak,
    every_gpu,
    one_thread,
    peak_memory,
    resolve_device,
    rng_states,
    set_rng_states,
    use_device,
)

without_gpu = pytest.mark.skipif(torch.accelerator.is_available(), reason="this machine has a GPU")


def test_the_cpu_is_always_there() -> None:
    assert resolve_device("cpu") == torch.device("cpu")


@without_gpu
def test_auto_is_the_cpu_where_there_is_no_gpu() -> None:
    assert resolve_device("auto") == torch.device("cpu")


@without_gpu
@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_gpu_that_is_not_there_is_said_so(name: str) -> None:
    with pytest.raises(UsageError, match=f"device '{name}': this machine has no usable GPU of that kind; use --device"):
        resolve_device(name)


@without_gpu
def test_every_gpu_of_a_machine_without_one_is_an_error() -> None:
    with pytest.raises(UsageError, match="device 'all': this machine has no usable GPU"):
        every_gpu()


def test_a_process_that_trains_computes_fp32_in_fp32() -> None:
    torch.backends.cudnn.allow_tf32 = True  # as when torch starts

    assert use_device("cpu") == torch.device("cpu")

    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_what_dropout_draws_next_can_be_restored() -> None:
    cpu = torch.device("cpu")
    before = rng_states(cpu)
    drawn = torch.rand(3)

    set_rng_states(before | {"cuda": torch.zeros(16, dtype=torch.uint8)}, cpu)  # a state of another device is no harm

    assert torch.equal(torch.rand(3), drawn)


@pytest.mark.gpu
def test_what_dropout_draws_next_on_a_gpu_can_be_restored() -> None:
    gpu = use_device(every_gpu()[-1])
    before = rng_states(gpu)
    drawn = torch.rand(3, device=gpu)

    set_rng_states(before, gpu)

    assert torch.equal(torch.rand(3, device=gpu), drawn)


def test_a_cpu_does_not_say_how_much_memory_was_taken() -> None:
    begin_peak(torch.device("cpu"))

    assert peak_memory(torch.device("cpu")) is None


@pytest.mark.gpu
def test_the_peak_of_a_gpu_is_that_since_it_was_begun() -> None:
    gpu = use_device(every_gpu()[-1])
    held = torch.empty(64 << 20, dtype=torch.uint8, device=gpu)
    del held
    torch.cuda.empty_cache()

    begin_peak(gpu)
    before = peak_memory(gpu)
    held = torch.empty(32 << 20, dtype=torch.uint8, device=gpu)

    assert before is not None
    assert peak_memory(gpu) == before + held.nbytes


@pytest.mark.gpu
def test_what_torch_keeps_of_a_trial_is_not_in_the_peak_of_the_next_and_what_a_recording_keeps_is() -> None:
    gpu = use_device(every_gpu()[-1])
    held = torch.empty(64 << 20, dtype=torch.uint8, device=gpu)
    del held

    begin_peak(gpu)
    before, beside_a_recording = peak_memory(gpu), peak_memory(gpu, 1 << 20)

    assert before is not None
    assert before <= torch.cuda.memory_reserved(gpu) - (64 << 20)
    assert beside_a_recording == before + (1 << 20)


@pytest.mark.parametrize(
    ("name", "message"), [("gpu", "unknown device 'gpu'; use cpu, cuda"), ("meta", "device 'meta' is not supported")]
)
def test_a_device_that_growlab_cannot_use_is_named(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve_device(name)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("auto", torch.float32), ("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_on_a_cpu_products_are_bf16_only_where_asked_for(precision: str, dtype: torch.dtype) -> None:
    weight = torch.ones(2, 2)

    with autocast(precision, torch.device("cpu")):
        product = weight @ weight

    assert product.dtype == dtype


@pytest.fixture
def chance_as_it_was() -> Iterator[None]:
    yield
    use_device("cpu", deterministic=False)


def test_a_deterministic_device_refuses_an_operation_that_leaves_bits_to_chance(chance_as_it_was: None) -> None:
    use_device("cpu", deterministic=True)

    with pytest.raises(RuntimeError, match="put_ does not have a deterministic implementation"):
        torch.zeros(2).put_(torch.tensor([0]), torch.ones(1))


def test_a_device_is_not_deterministic_unless_asked() -> None:
    use_device("cpu")

    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.deterministic


_FIFTY_STEPS = """
import pickle, sys
from pathlib import Path
from growlab.data.corpus import load_corpus
from growlab.training.device import use_device
from growlab.training.run import fresh_run

device = use_device("cuda", deterministic=True)
spec = pickle.loads(Path(sys.argv[1]).read_bytes())
run = fresh_run(spec, load_corpus(spec.data), device)
for step in range(50):
    run.train_step()
    print(run.take_train_loss().hex())
print(run.engine.name)
"""


@pytest.mark.gpu
def test_deterministic_steps_of_a_hybrid_on_a_gpu_are_equal_to_the_bit(
    make_spec: Callable[..., TrialSpec], tmp_path: Path
) -> None:
    """Each in a process of its own: cuBLAS asks for its workspace once."""
    layout = "d=64 attn[n_heads=2,qk_norm=true] mlp conv mlp[activation=gelu] mamba mlp"
    (tmp_path / "spec").write_bytes(pickle.dumps(make_spec(layout=layout, dropout=0.2, precision="bf16", steps=50)))
    command = [sys.executable, "-c", _FIFTY_STEPS, str(tmp_path / "spec")]

    first, second = (subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(2))

    assert first.returncode == 0, first.stderr
    assert first.stdout.endswith("\ngraph\n")
    assert first.stdout == second.stdout


def test_within_one_thread_torch_has_one_and_after_it_as_many_as_before() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
