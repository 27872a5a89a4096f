"""Compiled blocks train as eager ones do, and a kind is compiled once, in whatever layouts it stands."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from growlab.blocks import build_block
from growlab.data.corpus import Corpus
from growlab.errors import UsageError
from growlab.kinds import complete_block
from growlab.layout import BlockSpec, parse_blocks
from growlab.specs import TrialSpec
from growlab.training.compiled import Run, as_it_is, lacking_to_compile, programs
from growlab.training.device import autocast, use_device
from growlab.training.engine import COMPILE_FROM, Execution, choose_execution
from growlab.training.run import TrialRun, fresh_run

MakeSpec = Callable[..., TrialSpec]
Losses = Callable[[TrialRun, int], list[float]]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def with_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs made within are compiled, with a cache folder of their own."""
    if shutil.which("g++") is None:
        pytest.skip("compiling for a CPU needs g++")
    monkeypatch.setenv("GROWLAB_ENGINE", "compiled")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.compiler.reset()
    assert lacking_to_compile(CPU) == ""
    yield
    torch.compiler.reset()


def n_programs() -> int:
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


@pytest.mark.slow
@pytest.mark.usefixtures("with_programs")
def test_compiled_blocks_train_as_eager_ones_and_once_per_kind(
    losses: Losses, make_spec: MakeSpec, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_of(layout: str) -> TrialRun:
        spec = make_spec(layout=layout, trigger="stagnation", max_depth=12, freeze_steps=6, warmup_fraction=0.0)
        return fresh_run(spec, corpus, CPU)

    before = n_programs()
    run = run_of("d=16 conv mlp conv mlp")
    assert run.engine.name == "compiled"
    with_programs = losses(run, 18)
    met = n_programs() - before
    losses(run_of("d=16 mlp conv conv mlp mlp"), 2)
    monkeypatch.setenv("GROWLAB_ENGINE", "eager")

    expected = losses(run_of("d=16 conv mlp conv mlp"), 18)

    assert with_programs == pytest.approx(expected, rel=1e-5)
    assert with_programs[-1] < with_programs[0]
    assert met == 4  # what enters, conv, mlp and the head; frozen and grown units are none of their own
    assert n_programs() - before == met


@pytest.mark.slow
@pytest.mark.usefixtures("with_programs")
@pytest.mark.filterwarnings(r"ignore:.*_prims_common\.check:FutureWarning")  # as in a trial
@pytest.mark.parametrize("delta", [False, True])
def test_one_program_reads_whatever_plasticity_is_set(delta: bool) -> None:
    _, run, _ = programs()
    spec = complete_block(BlockSpec("hebbian", (("delta", delta),)), 32)
    block, before = build_block(spec, 32, max_depth=1, dropout=0.0), n_programs()
    stream_BTD = torch.randn(2, 70, 32, requires_grad=True)
    mixed_BTD = torch.zeros(2, 70, 32, requires_grad=True)

    for plasticity in (1.0, 0.1, 0.5):
        block.set_plasticity(plasticity)
        outputs = [each(block, stream_BTD, mixed_BTD)[1] for each in (run, as_it_is)]
        gradients = [torch.autograd.grad(each.square().sum(), stream_BTD)[0] for each in outputs]

        torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)
    assert n_programs() - before == 1


@pytest.fixture
def a_machine_that_can_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("growlab.training.engine.lacking_to_compile", lambda device: "")


@pytest.mark.usefixtures("a_machine_that_can_compile")
def test_an_execution_is_chosen_by_the_device_and_the_length_of_a_trial() -> None:
    assert choose_execution(CPU, COMPILE_FROM) is Execution.EAGER
    assert choose_execution(CUDA, COMPILE_FROM) is Execution.COMPILED_GRAPH
    assert choose_execution(CUDA, COMPILE_FROM - 1) is Execution.GRAPH


@pytest.mark.usefixtures("a_machine_that_can_compile")
def test_a_trial_that_must_be_the_same_twice_is_not_compiled() -> None:
    use_device("cpu", deterministic=True)
    try:
        assert choose_execution(CUDA, COMPILE_FROM) is Execution.GRAPH
    finally:
        use_device("cpu")


@pytest.fixture
def triton(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is there, as far as one can see."""
    (tmp_path / "triton.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("CC", raising=False)


@pytest.mark.usefixtures("triton")
def test_without_a_compiler_a_gpu_replays_blocks_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.warns(UserWarning, match="need a C compiler; there is no 'gcc' or 'clang'"):
        assert choose_execution(CUDA, COMPILE_FROM) is Execution.GRAPH


@pytest.mark.usefixtures("a_machine_that_can_compile")
@pytest.mark.parametrize("execution", list(Execution))
def test_an_execution_can_be_asked_for(execution: Execution, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROWLAB_ENGINE", execution.value)

    assert choose_execution(CUDA, COMPILE_FROM) is execution


def test_a_short_trial_is_not_worth_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROWLAB_ENGINE", "compiled-graph")

    assert choose_execution(CUDA, COMPILE_FROM - 1) is Execution.GRAPH


def test_a_graph_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROWLAB_ENGINE", "graph")

    with pytest.raises(UsageError, match="GROWLAB_ENGINE=graph needs a CUDA device, got cpu"):
        choose_execution(CPU, 1)


def test_compiling_without_a_compiler_is_refused_before_a_trial_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor import config, cpp_builder

    monkeypatch.setenv("GROWLAB_ENGINE", "compiled")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    cpp_builder.cpp_compiler_search.cache_clear()

    # torch has read CXX of the machine as it was loaded
    with (
        config.patch({"cpp.cxx": (None, "g++")}),
        pytest.raises(UsageError, match=r"GROWLAB_ENGINE=compiled needs a C\+\+ compiler; there is no 'g\+\+'"),
    ):
        choose_execution(CPU, 1)


@pytest.mark.usefixtures("triton")
def test_a_c_compiler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")

    assert lacking_to_compile(CUDA) == "a C compiler; there is no 'no-such-compiler' (see CC)"


@pytest.mark.slow
def test_a_compiler_that_fails_is_found_out_before_a_trial_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "g++"
    broken.write_text('#!/bin/sh\ncase "$1" in --version) echo g++ 12;; *) exit 1;; esac\n')
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    ask = "import torch; from growlab.training.compiled import lacking_to_compile as f; print(f(torch.device('cpu')))"

    # a process of its own: this one may remember what it has compiled
    told = subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True).stdout

    assert told.startswith("a compiler that works; ")
    assert told.count("\n") == 1


# ---- each kind -------------------------------------------------------------------------------------------------


def gradients(run: Run, spec: BlockSpec, device: torch.device, dtype: torch.dtype, precision: str) -> dict[str, Tensor]:
    """Of one block's parameters and inputs, in float64, for a smooth function of what it returns."""
    torch.manual_seed(0)
    block = build_block(spec, 64, max_depth=4, dropout=0.0).to(device, dtype).train()
    stream_BTD, mixed_BTD, to_BTD = (torch.randn(4, 64, 64).to(device, dtype) for _ in range(3))
    leaves = dict(block.named_parameters()) | {"stream": stream_BTD, "mixed": mixed_BTD}
    for leaf in leaves.values():
        leaf.requires_grad_()
    with autocast(precision, device):
        stream_BTD, mixed_BTD, _ = run(block, stream_BTD, mixed_BTD)
    ((stream_BTD + mixed_BTD).sin() * to_BTD).sum().backward()
    return {name: leaf.grad.double() for name, leaf in leaves.items() if leaf.grad is not None}


def furthest(found: dict[str, Tensor], exact: dict[str, Tensor]) -> float:
    """The largest error of a gradient, by norms."""
    return max(float((found[name] - exact[name]).norm() / exact[name].norm()) for name in exact)


def assert_as_exact_as_eager(kind: str, precision: str, device: torch.device) -> None:
    spec = complete_block(*parse_blocks(kind), 64)
    exact, met = gradients(as_it_is, spec, device, torch.float64, "fp32"), n_programs()

    eager = furthest(gradients(as_it_is, spec, device, torch.float32, precision), exact)
    found = furthest(gradients(programs()[1], spec, device, torch.float32, precision), exact)

    print(f"{kind}, {precision}: eager {eager:.1e}, compiled {found:.1e}")
    assert found < 2 * eager
    assert n_programs() - met == 1  # where compiling fails, a block runs as it is, in pieces


@pytest.mark.slow
@pytest.mark.usefixtures("with_programs")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradients_of_a_compiled_block_are_as_exact_as_eager_ones(precision: str) -> None:
    assert_as_exact_as_eager("mlp", precision, CPU)


@pytest.fixture
def traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Programs are traced and differentiated as ever, and not compiled: that takes a C++ compiler ten seconds."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    for forget in (programs.cache_clear, torch.compiler.reset):
        forget()
    yield
    for forget in (programs.cache_clear, torch.compiler.reset):
        forget()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("kind", ["mlp", "attn", "conv"])
def test_a_block_is_one_program_whose_gradients_are_as_exact_as_eager_ones(kind: str) -> None:
    assert_as_exact_as_eager(kind, "fp32", CPU)


@pytest.mark.gpu
@pytest.mark.usefixtures("with_programs")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "kind",
    [
        "attn",
        "attn[gate=true]",
        "conv",
        "mamba",
        "mlp",
        "mamba2",
        "hebbian",
        "hebbian[delta=true]",
        "hopfield[incremental=true]",
    ],
)
def test_gradients_of_each_kind_compiled_for_a_gpu_are_as_exact_as_eager_ones(kind: str, precision: str) -> None:
    assert_as_exact_as_eager(kind, precision, use_device("cuda"))
