"""An ablation's trainings in the database: as trials, known again by their rows, and what became of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from growlab.ablate.arms import spec_of
from growlab.ablate.cells import Cell, Outcome, Outcomes, seed_of
from growlab.ablate.file import Ablation, Arm
from growlab.errors import UsageError
from growlab.moved import moves_between
from growlab.proposal import Proposal, given_proposal
from growlab.specs import TrialSpec
from growlab.storage import StudyRow, TrialRow
from growlab.study import Study


def outcomes_of(trials: Sequence[TrialRow]) -> Outcomes:
    """What became of each training that has ended."""
    return {Cell.of(trial.params): _outcome(trial) for trial in trials if trial.state.is_final}


def _outcome(trial: TrialRow) -> Outcome:
    return Outcome(
        val_loss=math.inf if trial.val_loss is None or trial.state != "completed" else trial.val_loss,
        flops=trial.flops or 0,
        tokens=trial.tokens or 0,
        elapsed_s=trial.elapsed_s or 0.0,
        depth=trial.depth_end or trial.depth_start,
        n_params=trial.n_params or 0,
    )


def proposals(
    ablation: Ablation, arms: Mapping[str, Arm], study: Study, cells: Sequence[Cell], *, first: int
) -> list[Proposal]:
    """The cells as trials of the stored study, numbered from `first` on."""
    return [
        given_proposal(_spec(ablation, arms, study, cell), first + at, cell.params()) for at, cell in enumerate(cells)
    ]


def require_same(
    ablation: Ablation, arms: Mapping[str, Arm], row: StudyRow, study: Study, trials: Sequence[TrialRow]
) -> None:
    """Raise UsageError where the stored study of that name is another one, or ran an arm of that name otherwise."""
    same_text = moves_between(row.study, replace(row.study, data=study.data, curriculum=study.curriculum)) is not None
    if row.study.sampler.name != "given" or not same_text:
        raise UsageError(
            f"study {study.name!r} is there already, and is no ablation over this text; choose another --name"
        )
    for trial in trials:
        try:
            cell = Cell.of(trial.params)
        except UsageError as error:
            raise UsageError(
                f"study {study.name!r} is there already, and trial {trial.number} of it says that it is no ablation: "
                f"{error}; choose another --name"
            ) from None
        if cell.arm not in arms:
            continue  # an arm that the file has no more
        wanted = _spec(ablation, arms, study, cell)
        if replace(trial.spec, data=wanted.data, curriculum=wanted.curriculum) != wanted:
            raise UsageError(
                f"{ablation.file}: arm {cell.arm!r} of study {study.name!r} was another one when trial {trial.number} "
                "was made; give the changed arm another name, or the ablation another --name"
            )


def _spec(ablation: Ablation, arms: Mapping[str, Arm], study: Study, cell: Cell) -> TrialSpec:
    seed = seed_of(ablation, cell.stage, cell.repeat)
    spec = spec_of(ablation, arms[cell.arm], dict(cell.values), budget=cell.budget, seed=seed)
    return replace(spec, data=study.data, curriculum=study.curriculum)
