"""A better plan: growlab's own search over the values of one, and the same search for un-grown training; then winners.

    plans_grown, plans_ungrown    two studies of as many trials of the same FLOPs, on one text
    plans_fresh                   the five best of either, on four seeds that chose nothing
    plans_chosen                  the best of these against an envelope of un-grown training with the best values that
                                  its own search found, on eight more seeds; the test split is read once, in the end
    plans_deep, plans_dictionary  the same plan, unchanged, at sixteen units of width 224, and on another text

A search's units are loop[times=1](attn mlp), which are attn mlp to the bit, so that a layout is a number of units.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from statistics import fmean

from ledger import Ledger
from question import FILES, Question, Raw

from growlab.errors import NotFound
from growlab.layout import parse
from growlab.preparation.confirming import ranked_winners
from growlab.recipes import NEVER
from growlab.specs import TrialSpec
from growlab.storage import Store
from growlab.study.growth_section import growth_domains, write_growth
from growlab.yaml_file import read_yaml

SIDES = ("grown", "ungrown")
SEARCHES = tuple(f"plans_{side}" for side in SIDES)
TOP, FRESH_SEEDS, MORE_SEEDS = 5, 4, 8
PLAN = "plan"
DATABASE = "plans.db"


def storage_of(folder: Path) -> str:
    return f"sqlite:///{folder.resolve()}/{DATABASE}"


def n_searched(folder: Path, name: str) -> int:
    """Trials of a search that are over."""
    if not (folder / DATABASE).exists():
        return 0
    try:
        with Store.open(storage_of(folder)) as store:
            return sum(trial.state.is_final for trial in store.trials(store.study(_study(name)).id))
    except NotFound:
        return 0


def search(folder: Path, name: str, file: Path, texts: Path, *, device: str, at_once: int, seconds: float) -> None:
    """Let growlab search for so many seconds, or until the study has all its trials; a stopped search goes on."""
    storage = storage_of(folder)
    os.environ |= {"GROWLAB_STORAGE": storage, "GROWLAB_ARTIFACTS": str(folder.resolve() / "plans")}
    text = texts / Path(str(read_yaml(file)["data"]["path"])).name
    here = ["--set", f"data.path={text.resolve()}"]  # where it lies today
    if not _is_there(storage, _study(name)):
        _growlab("study", "create", str(file), *here)
    limits = ["--device", device, "--slots", str(at_once), "--max-time", f"{max(1.0, seconds):.0f}"]
    _growlab("worker", _study(name), *limits, "--checkpoint-every", "3600", *here)


def _growlab(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "growlab", *words], check=False)


def _is_there(storage: str, study: str) -> bool:
    with Store.open(storage, create=True) as store:
        return study in {summary.name for summary in store.studies()}


def _study(name: str) -> str:
    return f"growth-{name.replace('_', '-')}"


def write_trials(folder: Path, name: str) -> None:
    """Write a line of TSV for each trial of a search that is over: what it was, and its loss."""
    import csv

    with Store.open(storage_of(folder)) as store, (folder / f"{name}.tsv").open("w", newline="") as file:
        trials = [trial for trial in store.trials(store.study(_study(name)).id) if trial.state.is_final]
        names = sorted({key for trial in trials for key in trial.params})
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["number", "layout", *names, "state", "val_loss", "flops", "tokens", "depth", "elapsed_s"])
        for trial in trials:
            numbers = [trial.val_loss, trial.flops, trial.tokens, trial.depth_end, trial.elapsed_s]
            values = [trial.params.get(key) for key in names]
            writer.writerow([trial.number, trial.layout, *values, trial.state.value, *numbers])


# ---- what comes of a search ------------------------------------------------------------------------------------------


def winners(folder: Path) -> dict[str, tuple[TrialSpec, float]]:
    """'grown 1' to 'grown 5' and 'ungrown 1' to 'ungrown 5': each with the loss that its search saw."""
    with Store.open(storage_of(folder)) as store:
        found = {side: ranked_winners(store, store.study(_study(f"plans_{side}")))[:TOP] for side in SIDES}
    return {
        f"{side} {rank}": (winner.trial.spec, winner.claimed)
        for side, ranked in found.items()
        for rank, winner in enumerate(ranked, 1)
    }


def fresh(folder: Path) -> Raw:
    """The ablation of all winners on fresh seeds."""
    arms = {name: _arm(spec) for name, (spec, _) in winners(folder).items()}
    return _like("early") | {
        "name": "growth-plans-fresh",
        "seed": 1017,
        "repeats": FRESH_SEEDS,
        "arms": arms,
        "against": "ungrown 1",
        "margin": 0.003,
    }


def chosen_of(question: Question, ledger: Ledger) -> dict[str, str]:
    """Side to the name of its best winner by the mean over fresh seeds, of those that completed on all of them."""
    losses: dict[str, list[float]] = {}
    for cell, outcome in question.outcomes(ledger).items():
        losses.setdefault(cell.arm, []).append(outcome.val_loss)
    means = {name: fmean(values) for name, values in losses.items() if all(map(isfinite, values))}
    return {side: min((name for name in means if name.startswith(f"{side} ")), key=means.__getitem__) for side in SIDES}


def chosen(folder: Path, names: Mapping[str, str]) -> Raw:
    """The ablation of the chosen plan on seeds of its own, against un-grown training with the values chosen for it."""
    found = winners(folder)
    plan, ungrown = found[names["grown"]][0], found[names["ungrown"]][0]
    n = len(parse(ungrown.layout).blocks)
    return _like("early") | {
        "name": "growth-plans-chosen",
        "seed": 2017,
        "repeats": MORE_SEEDS,
        "arms": {PLAN: _arm(plan)},
        "envelope": {
            "of": PLAN,
            "units": {n: [0.7, 1.0, 1.4, 2.0], n + 2: [1.4, 2.0, 2.5]},
            "train": _train(ungrown),
        },
        "primary": [PLAN],
        "margin": 0.05,
    }


def dictionary(folder: Path, names: Mapping[str, str]) -> Raw:
    """The same on another text, all values as they were chosen."""
    raw, like = chosen(folder, names), read_yaml(FILES / "early_dictionary.yaml")
    [n, deeper] = raw["envelope"]["units"]
    raw["envelope"]["units"] = {n: [0.7, 1.0, 1.4], deeper: [1.4, 2.0]}
    return raw | {
        "name": "growth-plans-dictionary",
        "seed": 3017,
        "data": like["data"],
        "budget": like["budget"],
        "repeats": FRESH_SEEDS,
    }


def deep(folder: Path, names: Mapping[str, str]) -> Raw:
    """The same at sixteen units of width 224: twice the units, all shares as they were; lr is tuned on both sides."""
    raw, like = chosen(folder, names), read_yaml(FILES / "early_deep.yaml")
    [n, _] = raw["envelope"]["units"]
    raw["envelope"]["units"] = {max(2, 2 * n - 4): [0.7, 1.0, 1.4], 2 * n: [1.0, 1.4, 2.0, 2.5]}
    arm = raw["arms"][PLAN]
    arm["layout"] = _layout(224, 2 * _n_units(arm["layout"]))
    arm["growth"]["max_depth"] *= 2
    return raw | {
        "name": "growth-plans-deep",
        "seed": 4017,
        "budget": like["budget"],
        "tune": like["tune"],
        "repeats": FRESH_SEEDS,
    }


def _like(name: str) -> Raw:
    """Data, training and budget of a question."""
    raw = read_yaml(FILES / f"{name}.yaml")
    return {key: raw[key] for key in ("data", "train", "budget")}


def _arm(spec: TrialSpec) -> Raw:
    layout = parse(spec.layout)
    grows = spec.growth.trigger.name != NEVER
    return {
        "layout": _layout(layout.d_model, len(layout.blocks)),
        "train": _train(spec),
        "growth": write_growth(growth_domains(spec.growth)) if grows else False,
    }


def _layout(d_model: int, n_units: int) -> str:
    return f"d={d_model} (attn mlp)x{n_units}"


def _n_units(layout: str) -> int:
    return len(parse(layout).blocks) // 2


def _train(spec: TrialSpec) -> Raw:
    return asdict(spec.train)
