"""Both passes of tiny blocks alone, measured: by kernels, in Triton's interpreter, and by definitions."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from growlab.bench.benchmark import bench_blocks
from growlab.bench.block_rows import BlockReport
from growlab.bench.block_survey import blocks_of
from growlab.bench.passes import Passing, pass_bytes, pass_flops
from growlab.blocks import block_cost
from growlab.errors import UsageError
from growlab.kernels import door
from growlab.kinds import KINDS, block_kinds, complete_block
from growlab.layout import parse_blocks
from growlab.plugins import load_plugins
from growlab.training.engine import Execution

BROKEN = """
import torch
from growlab.blocks import Mixer
from growlab.blocks.mlp import MlpOptions
from growlab.kinds import Cost, register_block

def cost(d_model, options, seq_len):
    return Cost(n_params=d_model**2, matmul_flops=1, other_flops=0, activations=1, state_size=0)

@register_block("broken", role="channel", summary="raises", options=MlpOptions, cost=cost)
class Broken(Mixer):
    def __init__(self, d_model, options):
        super().__init__(d_model, options)
        self.out_proj = torch.nn.Linear(d_model, d_model, bias=False)

    def forward(self, x_BTD):
        raise ZeroDivisionError("boom")
"""


@pytest.fixture(autouse=True)
def _kinds_as_before() -> Iterator[None]:
    load_plugins()
    before = dict(KINDS)
    yield
    KINDS.reset(before)


@pytest.fixture
def measured(small_roofline: None) -> Callable[..., BlockReport]:
    """The report of blocks at the given length, in two rounds of one step of two sequences."""

    def measured(*blocks: str, seq_len: int | None = 4) -> BlockReport:
        how: dict[str, Any] = {"n_rounds": 2, "device": "cpu", "threads": 0, "plugins": (), "tell": print}
        sizes = {"d_model": 8, "batch_size": 2, "seq_len": seq_len}
        return bench_blocks(blocks, sizes, n_steps=1, **how)

    return measured


def passing(block: str) -> Passing:
    spec = complete_block(parse_blocks(block)[0], 8)
    how = {"precision": "fp32", "execution": Execution.EAGER}
    return Passing(spec=spec, d_model=8, batch_size=2, seq_len=4, **how)


def test_the_figures_of_a_block_agree_with_one_another(measured: Callable) -> None:
    report = measured("conv[kernel=2]")

    (row,) = report.rows
    assert (row.what, row.layout, row.form, row.kernels) == ("conv[kernel=2]", "d=8 conv[kernel=2]", "", "")
    assert (row.batch_size, row.seq_len, row.engine, row.precision) == (2, 4, "eager", "fp32")
    assert row.both_ms_min <= row.both_ms <= row.both_ms_max
    assert row.backward_ms == pytest.approx(max(0.0, row.both_ms - row.forward_ms))
    assert row.tokens_per_s == pytest.approx(8000 / row.both_ms)
    least_s = max(row.flops / report.roofline.flops_per_s, row.fewest_bytes / report.roofline.bytes_per_s)
    assert row.roofline_share == pytest.approx(1000 * least_s / row.both_ms)
    assert row.peak_bytes is None  # a CPU does not say


def test_a_block_is_measured_at_several_lengths_unless_one_is_given(
    measured: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("growlab.bench.benchmark.usual_lengths", lambda device: ((4, 8), 16))

    assert [row.seq_len for row in measured("conv", seq_len=None).rows] == [4, 8]


def test_both_passes_are_three_times_the_forward_one_but_for_what_has_no_gradient() -> None:
    plain, looped = passing("mlp"), passing("loop[gradient=last,times=3](conv)")

    cost, constant = (block_cost(each.spec, 8, 4) for each in (plain, looped))
    assert pass_flops(plain) == 2 * 3 * cost.flops
    assert pass_flops(looped) == 2 * (3 * constant.flops - 2 * constant.constant_flops)
    assert pass_bytes(plain) == 4 * (4 * 2 * 4 * 8 + 3 * cost.n_params)


def test_all_is_an_example_of_each_kind_and_a_block_is_one() -> None:
    assert [block.kind for block in blocks_of(["all"], 16)] == block_kinds()
    with pytest.raises(UsageError, match="--block 'attn mlp' must be one block, such as 'mamba', or 'all'; got 2"):
        blocks_of(["attn mlp"], 16)


def test_a_block_that_fails_is_a_row_that_says_so(measured: Callable, tmp_path: Any) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    load_plugins([tmp_path / "broken.py"])

    broken, conv = measured("broken", "conv").rows

    assert (broken.error, broken.failure, broken.both_ms) == ("ZeroDivisionError: boom", "failed", None)
    assert conv.error == ""


def test_beside_kernels_stand_their_definitions(measured: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    triton = pytest.importorskip("triton")
    if not triton.knobs.runtime.interpret:
        pytest.skip("kernels run on the GPU of this machine")
    monkeypatch.setenv("GROWLAB_KERNELS", "interpreted")
    monkeypatch.setattr(door, "_reasons", {})
    monkeypatch.setattr(door, "_disagreement", lambda *_: "")  # which takes the interpreter seconds

    rows = measured("mlp").rows

    assert [row.form for row in rows] == ["kernels", "definitions"]
    assert {row.kernels for row in rows} == {"rms_norm, swiglu"}
    assert all(row.both_ms > 0 for row in rows)


# ---- on a GPU --------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("block", ["attn", "mamba", "mamba2", "hebbian[delta=true]", "mlp"])
def test_on_a_gpu_both_passes_are_recorded_and_their_memory_is_told(
    block: str, monkeypatch: pytest.MonkeyPatch, small_roofline: None
) -> None:
    monkeypatch.setenv("GROWLAB_ENGINE", "graph")
    sizes = {"d_model": 64, "batch_size": 2, "seq_len": 256}

    report = bench_blocks([block], sizes, n_steps=2, n_rounds=2, device="cuda", threads=0, plugins=(), tell=print)

    assert {row.engine for row in report.rows} == {"graph"}
    assert {row.form for row in report.rows} == {"kernels", "definitions"}  # all have a norm, which has a kernel
    assert all(row.error == "" and row.peak_bytes > 2 * 256 * 64 * 4 for row in report.rows)
