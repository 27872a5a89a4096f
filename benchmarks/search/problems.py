"""What a search is judged on: spaces whose every answer is known.

    macro                         NAS-Bench-Macro: three kinds at eight places; one of three accuracies is observed
    macro-renamed                 the same, the names of the kinds permuted once for each seed
    macro-renamed-at-each-place   the same, permuted at each place on its own
    synthetic                     layouts of 4 to 10 blocks with lr and weight decay; a function drawn for each seed
    complete                      1,080 real trainings: 72 layouts, five lr, three rates of dropout
    deep                          a pool of 500 real trainings of deep layouts of all kinds, with four scalars
    NAME-means                    macro, its renamed ones or complete without noise: what is observed is the true value

A problem is a growlab study, an observed value of a point (None where its training failed) and a true one. What is
observed is a function of the seed and the point, so that every search of a seed sees the same table.

Source of macro: Su et al., "Prioritized Architecture Sampling with Monto-Carlo Tree Search", CVPR 2021;
nas-bench-macro_cifar10.json of github.com/xiusu/NAS-Bench-Macro, which is not ours to copy.
"""

import csv
import json
import lzma
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import synthetic
from pool import Pool

from growlab.kinds import KINDS, Cost, Kind, complete
from growlab.layout import BlockSpec, Layout, parse
from growlab.model.cost import count_params
from growlab.search.configuration import Configuration
from growlab.search.menu import Menu
from growlab.search.parameters import ParameterSpace
from growlab.search.space import check_space
from growlab.seeds import derived_seed
from growlab.study import Study
from growlab.study.reading import study_from_mapping
from growlab.yaml_file import read_yaml

HERE = Path(__file__).parent
Seen = TypeVar("Seen")
NOISE = 0.01  # of synthetic: the sd of what is observed


def _no_size(layout: Layout) -> int:
    """Say the same of every layout: where there are no weights, size can tell nothing."""
    return 1


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Lower is better in all of them."""

    written: Mapping[str, Any]  # the study as a file says it, without its sampler
    kinds: Mapping[str, Kind]
    observe: Callable[[Configuration], float | None]
    true: Callable[[Configuration], float]
    best: float  # the lowest true value
    worst: float  # the highest: what a search has found that has seen nothing but failures
    measure: Callable[[Layout], int] = _no_size  # parameters, which growlab's samplers may ask for as in its workers
    entries: Sequence[Configuration] = ()  # all there is; empty where every point of the study has an answer
    # what is observed of a point at each quarter of its training, the last as `observe` says; real trainings have it
    curve: Callable[[Configuration], Sequence[float] | None] | None = None

    def study(
        self, sampler: str | Mapping[str, Any] = "random", layouts: Mapping[str, Any] | None = None, **changed: Any
    ) -> Study:
        """The study with this sampler, and with these keys of its own and of its layouts."""
        layouts = {**self.written["layouts"], **(layouts or {})}
        study = study_from_mapping({**self.written, **changed, "layouts": layouts, "sampler": sampler})
        check_space(study, self.kinds)
        return study

    @cached_property
    def encoding(self) -> ParameterSpace:
        study = self.study()
        return ParameterSpace(Menu(study.layouts, self.kinds), study.scalars())

    def pool(self) -> Pool | None:
        """A pool of which nothing has been taken; None where every point has an answer."""
        return Pool(self.encoding, self.entries) if self.entries else None


# ---- kinds that are no more than a name ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    def check(self, d_model: int) -> None:
        """Fit any width."""


def _no_cost(d_model: int, options: NoOptions, seq_len: int) -> Cost:
    return Cost(n_params=0, matmul_flops=0, other_flops=0, activations=0, state_size=0)


def named_kinds(roles: Mapping[str, str]) -> dict[str, Kind]:
    """Kinds of these names and roles, without options."""
    return {
        name: Kind(name=name, role=role, summary="", options=NoOptions, cost=_no_cost, mixer=object)
        for name, role in roles.items()
    }


def _written(
    name: str, kinds: Mapping[str, Kind], d_model: int, depth: tuple[int, int], **train: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "n_trials": 100,
        "layouts": {
            "blocks": {kind: {} for kind in kinds},
            "d_model": d_model,
            "depth": {"low": depth[0], "high": depth[1]},
        },
        "train": train,
        "budget": {"steps": 400},
    }


# ---- NAS-Bench-Macro -----------------------------------------------------------------------------------------------

OPERATIONS = ("identity", "mbconv3", "mbconv6")  # 0, 1 and 2 of its table
N_PLACES = 8


def macro(seed: int, table: Path | None) -> Problem:
    return _macro("macro", seed, table, [OPERATIONS] * N_PLACES)


def macro_renamed(seed: int, table: Path | None) -> Problem:
    names = _permuted(random.Random(derived_seed(seed, "names")))
    return _macro("macro-renamed", seed, table, [names] * N_PLACES)


def macro_renamed_at_each_place(seed: int, table: Path | None) -> Problem:
    rng = random.Random(derived_seed(seed, "names"))
    return _macro("macro-renamed-at-each-place", seed, table, [_permuted(rng) for _ in range(N_PLACES)])


def _permuted(rng: random.Random) -> tuple[str, ...]:
    return tuple(rng.sample(OPERATIONS, len(OPERATIONS)))


def _macro(name: str, seed: int, table: Path | None, names: Sequence[tuple[str, ...]]) -> Problem:
    """Errors in points of accuracy; `names` are those of operations 0, 1 and 2 at each place."""
    if table is None:
        raise SystemExit(f"{name} needs --macro, the path of nas-bench-macro_cifar10.json")
    errors = _macro_errors(table)
    kinds = named_kinds(dict.fromkeys(OPERATIONS, "sequence"))

    def code(point: Configuration) -> str:
        return "".join(str(known.index(block.kind)) for known, block in zip(names, point.layout.blocks, strict=True))

    def observe(point: Configuration) -> float:
        return _one_of(errors[code(point)], seed, code(point))

    means = {key: fmean(known) for key, known in errors.items()}
    return Problem(
        written=_written(name, kinds, 64, (N_PLACES, N_PLACES)),
        kinds=kinds,
        observe=observe,
        true=lambda point: means[code(point)],
        best=min(means.values()),
        worst=max(means.values()),
    )


def macro_points() -> list[Configuration]:
    """All networks, under the names of problem macro."""
    stacks = product(OPERATIONS, repeat=N_PLACES)
    return [Configuration(layout=Layout(64, tuple(map(BlockSpec, stack))), params={}) for stack in stacks]


@cache
def _macro_errors(table: Path) -> dict[str, list[float]]:
    return {code: [100 - one for one in row["test_acc"]] for code, row in json.loads(table.read_text()).items()}


def _one_of(values: Sequence[Seen], seed: int, name: str) -> Seen:
    """One that a seed sees of several results of the same training, always the same."""
    return values[derived_seed(seed, name, "observed") % len(values)]


# ---- synthetic -----------------------------------------------------------------------------------------------------


def synthetic_layouts(seed: int, table: Path | None) -> Problem:
    drawn = synthetic.Synthetic(seed)
    kinds = named_kinds(synthetic.ROLES)

    def true(point: Configuration) -> float:
        names = [block.kind for block in point.layout.blocks]
        return drawn.loss(names, point.params["train.lr"], point.params["train.weight_decay"])

    def observe(point: Configuration) -> float:
        rng = random.Random(derived_seed(seed, point.layout, sorted(point.params.items()), "noise"))
        return true(point) + rng.gauss(0, NOISE)

    (lr_low, lr_high), (decay_low, decay_high) = synthetic.LR, synthetic.DECAY
    lr = {"low": lr_low, "high": lr_high, "log": True}
    decay = {"low": decay_low, "high": decay_high, "log": True}
    return Problem(
        written=_written("synthetic", kinds, 64, synthetic.DEPTH, lr=lr, weight_decay=decay),
        kinds=kinds,
        observe=observe,
        true=true,
        best=drawn.best,
        worst=float("inf"),  # nothing fails
    )


# ---- real trainings, made by real_tables.py ------------------------------------------------------------------------

CELL_ROLES = {"attn": "sequence", "conv": "sequence", "mlp": "channel"}
QUARTERS = ("loss_100", "loss_200", "loss_300", "loss_400")
N_CHARACTERS = 65  # of Tiny Shakespeare


def complete_table(seed: int, table: Path | None) -> Problem:
    """A cell with several seeds shows one of them and is worth their mean; one with a single seed is worth that."""
    curves = _cells()
    kinds = named_kinds(CELL_ROLES)
    study = read_yaml(HERE / "complete.yaml")
    lr, dropout = ([float(value) for value in study["train"][key]] for key in ("lr", "dropout"))
    means = {key: fmean(known[-1] for known in all_seeds) for key, all_seeds in curves.items()}

    def curve(point: Configuration) -> Curve:
        return _one_of(curves[_cell(point)], seed, " ".join(map(str, _cell(point))))

    return Problem(
        written=_written("complete", kinds, 128, (3, 4), lr=lr, dropout=dropout),
        kinds=kinds,
        observe=lambda point: curve(point)[-1],
        true=lambda point: means[_cell(point)],
        best=min(means.values()),
        worst=max(means.values()),
        measure=_n_params,
        curve=curve,
    )


def complete_points() -> list[Configuration]:
    return [
        Configuration(layout=layout, params={"train.lr": lr, "train.dropout": dropout})
        for layout, lr, dropout in _cells()
    ]


Cell = tuple[Layout, float, float]
Curve = tuple[float, ...]  # val_loss at each quarter of a training


def _cell(point: Configuration) -> Cell:
    return point.layout, float(point.params["train.lr"]), float(point.params["train.dropout"])


def _n_params(layout: Layout) -> int:
    """Count the parameters of a layout of real kinds; options that are not written are their defaults."""
    return count_params(layout, N_CHARACTERS)


@cache
def _cells() -> dict[Cell, list[Curve]]:
    """The losses of every cell, the first seed's first."""
    curves: dict[Cell, list[Curve]] = {}
    for row in [*_rows("complete"), *_rows("seeds"), *_rows("top")]:
        cell = parse(row["layout"]), float(row["lr"]), float(row["dropout"])
        curves.setdefault(cell, []).append(_curve(row))
    return curves


def _curve(row: Mapping[str, str]) -> Curve:
    return tuple(float(row[column]) for column in QUARTERS)


def deep_pool(seed: int, table: Path | None) -> Problem:
    """Each entry was trained once: what is observed is what is true. Its limit of parameters is not asked again."""
    written = read_yaml(HERE / "deep.yaml")
    entries = _entries()
    curves = dict(entries)
    losses = {point: curve and curve[-1] for point, curve in entries}
    known = [loss for loss in losses.values() if loss is not None]
    return Problem(
        written={**written, "layouts": {**written["layouts"], "max_params": 0}},
        kinds=KINDS,
        observe=lambda point: losses[point],
        true=lambda point: losses[point],
        best=min(known),
        worst=max(known),
        measure=_n_params,
        entries=[point for point, _ in entries],
        curve=lambda point: curves[point],
    )


@cache
def _entries() -> list[tuple[Configuration, Curve | None]]:
    """Every training of the pool with its losses; None where it failed."""
    scalars = ("dropout", "lr", "warmup_fraction", "weight_decay")
    return [
        (
            Configuration(
                layout=complete(parse(row["layout"])),
                params={f"train.{name}": float(row[name]) for name in scalars},
            ),
            _curve(row) if row["state"] == "completed" else None,
        )
        for row in _rows("deep")
    ]


def _rows(name: str) -> list[dict[str, str]]:
    with lzma.open(HERE / "tables" / f"{name}.tsv.xz", "rt", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


Make = Callable[[int, Path | None], Problem]  # of a seed and macro's table

_NOISY: Mapping[str, Make] = {
    "macro": macro,
    "macro-renamed": macro_renamed,
    "macro-renamed-at-each-place": macro_renamed_at_each_place,
    "complete": complete_table,
}


def _without_noise(make: Make, seed: int, table: Path | None) -> Problem:
    problem = make(seed, table)
    return replace(problem, observe=problem.true)


PROBLEMS: Mapping[str, Make] = {
    **_NOISY,
    "synthetic": synthetic_layouts,
    "deep": deep_pool,
    **{f"{name}-means": partial(_without_noise, make) for name, make in _NOISY.items()},
}
