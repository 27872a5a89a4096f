"""What the results say: each arm's speed-up against the envelope, or its gain on another arm, and a verdict.

Comparisons that the file names as primary are one family, corrected by Holm; each of the others is its own, and
exploratory. See growlab.statistics.verdict for the procedure.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from growlab.ablate.cells import Cell, Outcome, Outcomes, Tuned, tune
from growlab.ablate.file import Ablation, Arm
from growlab.layout import OptionValue
from growlab.statistics.envelope import Cell as EnvelopeCell
from growlab.statistics.envelope import Envelope, UngrownRun, envelopes, log_margin, ratio_text
from growlab.statistics.gains import Bound, Gain, loss_gains
from growlab.statistics.intervals import Estimate, estimate
from growlab.statistics.verdict import Decision, Rule, decide


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """A row of the table: an arm at its budget, over all repeats that ended."""

    arm: str
    budget: float
    values: tuple[tuple[str, OptionValue], ...]  # that tuning chose
    at_edge: tuple[str, ...]
    depth: int | None  # blocks at the end
    n_params: int | None
    n: int  # repeats with a loss
    n_failed: int  # that diverged or failed
    val_loss: Estimate | None
    flops: float | None  # mean, all charged
    tokens: float | None
    elapsed_s: float | None
    decision: Decision | None  # None for what the others are compared with, and before all trainings have ended
    is_primary: bool

    def gain_text(self, ablation: Ablation) -> str:
        """The mean gain with its interval: '1.39 × (1.31 to 1.47)', or '-0.0120 (-0.0180 to -0.0060)' nats."""
        if self.decision is None:
            return ""
        shown, gain = self.decision.shown, self.decision.gain
        if ablation.against:
            text = f"{'> ' if gain.bound is Bound.AT_MOST else ''}{-gain.value:+.4f}"
            bounds = None if shown is None or shown.half_width is None else (-shown.high, -shown.low)  # type: ignore[operator]
            return text if bounds is None else f"{text} ({bounds[0]:+.4f} to {bounds[1]:+.4f})"
        text = ratio_text(gain)
        if shown is None or shown.half_width is None:
            return text
        return f"{text} ({math.exp(shown.low):.2f} to {math.exp(shown.high):.2f})"  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What an ablation found so far."""

    ablation: Ablation
    arms: Sequence[ArmResult]
    n_cells: int  # that are known to be wanted
    n_ended: int
    lost_cells: Sequence[str]  # of the envelope, which a seed lacks: nobody is measured by them
    outcomes: Outcomes  # of all that ended and is wanted, tuning included

    @property
    def training_flops(self) -> int:
        """All that was spent, tuning included."""
        return sum(outcome.flops for outcome in self.outcomes.values())

    @property
    def training_s(self) -> float:
        return sum(outcome.elapsed_s for outcome in self.outcomes.values())


def read_result(ablation: Ablation, arms: Mapping[str, Arm], cells: Sequence[Cell], outcomes: Outcomes) -> Result:
    """Sum up what has ended; verdicts come when everything has."""
    tuned = {name: tune(ablation, arm, outcomes) for name, arm in arms.items()}
    ended = [cell for cell in cells if cell in outcomes]
    outcomes = {cell: outcomes[cell] for cell in ended}  # none of a repeat with values that tuning chose no more
    # whoever looked before all have ended, and stopped when it pleased, would find what is not there
    decisions = _decisions(ablation, _gains(ablation, arms, outcomes)) if len(ended) == len(cells) else {}
    budgets = {name: sorted({cell.budget for cell in cells if cell.arm == name}) for name in arms}
    return Result(
        ablation=ablation,
        arms=[
            _row(ablation, name, budget, tuned[name], outcomes, decisions)
            for name in arms
            for budget in budgets[name]
            if any(cell.stage == "repeat" and (cell.arm, cell.budget) == (name, budget) for cell in cells)
        ],
        n_cells=len(cells),
        n_ended=len(ended),
        lost_cells=_lost(ablation, arms, outcomes),
        outcomes=outcomes,
    )


def _row(
    ablation: Ablation,
    name: str,
    budget: float,
    tuned: Tuned,
    outcomes: Outcomes,
    decisions: Mapping[str, Decision],
) -> ArmResult:
    all_runs = list(_repeats(outcomes, name, budget).values())
    runs = [run for run in all_runs if math.isfinite(run.val_loss)]
    decided = decisions.get(name) if budget == 1.0 else None
    return ArmResult(
        arm=name,
        budget=budget,
        values=tuned.values or (),
        at_edge=tuned.at_edge,
        depth=runs[0].depth if runs else None,
        n_params=runs[0].n_params if runs else None,
        n=len(runs),
        n_failed=len(all_runs) - len(runs),
        val_loss=estimate([run.val_loss for run in runs]) if runs else None,
        flops=_mean(run.flops for run in runs),
        tokens=_mean(run.tokens for run in runs),
        elapsed_s=_mean(run.elapsed_s for run in runs),
        decision=decided,
        is_primary=name in ablation.primary,
    )


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return fmean(listed) if listed else None


def _repeats(outcomes: Outcomes, arm: str, budget: float) -> dict[int, Outcome]:
    """Repeat to outcome."""
    return {
        cell.repeat: outcome
        for cell, outcome in outcomes.items()
        if cell.stage == "repeat" and (cell.arm, cell.budget) == (arm, budget)
    }


def _gains(ablation: Ablation, arms: Mapping[str, Arm], outcomes: Outcomes) -> dict[str, list[Gain]]:
    """Gains of each arm, one for each repeat that it and what it is compared with have."""
    if ablation.against:
        baseline = _losses(outcomes, ablation.against)
        found = {
            name: _loss_gains(ablation, outcomes, name, baseline) for name in ablation.arms if name != ablation.against
        }
    else:
        runs = _ungrown_runs(ablation, arms, outcomes)
        lines = envelopes(runs) if runs and all(runs.values()) and _shared(runs) else {}
        found = {
            name: [
                _speed_up(lines[repeat], run, ablation.flops)
                for repeat, run in sorted(_repeats(outcomes, name, 1.0).items())
                if repeat in lines
            ]
            for name in ablation.arms
        }
    return {name: gains for name, gains in found.items() if gains}


def _speed_up(envelope: Envelope, run: Outcome, flops: int) -> Gain:
    """A run's, against its seed's envelope; one that was lost had all its budget, and is worse than what is on it."""
    return envelope.speed_up(run.val_loss, run.flops if math.isfinite(run.val_loss) else flops)


def _loss_gains(ablation: Ablation, outcomes: Outcomes, arm: str, baseline: Mapping[int, float]) -> list[Gain]:
    """Nats saved on each seed; a run that was lost is no better than the worst of the others, or minus the margin."""
    gains = loss_gains(_losses(outcomes, arm), baseline)
    lost = [
        repeat
        for repeat, run in _repeats(outcomes, arm, 1.0).items()
        if repeat in baseline and not math.isfinite(run.val_loss)
    ]
    worst = min([-ablation.margin, *(gain.value for gain in gains)])
    return [*gains, *(Gain(worst, Bound.AT_MOST) for _ in lost)]


def _losses(outcomes: Outcomes, arm: str) -> dict[int, float]:
    return {repeat: run.val_loss for repeat, run in _repeats(outcomes, arm, 1.0).items() if math.isfinite(run.val_loss)}


def _ungrown_runs(ablation: Ablation, arms: Mapping[str, Arm], outcomes: Outcomes) -> dict[int, list[UngrownRun]]:
    """Repeat to its un-grown trainings; a repeat whose cells have not all ended is not there yet."""
    wanted = [(name, budget) for name, arm in arms.items() if name not in ablation.arms for budget in arm.budgets]
    runs: dict[int, list[UngrownRun]] = {}
    for repeat in range(ablation.repeats):
        found = {(name, budget): _repeats(outcomes, name, budget).get(repeat) for name, budget in wanted}
        if wanted and all(run is not None for run in found.values()):
            runs[repeat] = [
                UngrownRun(cell=EnvelopeCell(budget, run.depth), flops=run.flops, val_loss=run.val_loss)
                for (_, budget), run in found.items()
                if run is not None and math.isfinite(run.val_loss)
            ]
    return runs


def _shared(runs: Mapping[int, Sequence[UngrownRun]]) -> bool:
    """Whether any cell is there on every seed."""
    return bool(set.intersection(*({run.cell for run in of_seed} for of_seed in runs.values())))


def _lost(ablation: Ablation, arms: Mapping[str, Arm], outcomes: Outcomes) -> list[str]:
    return sorted(
        {
            f"{cell.arm} at {cell.budget:g} of the budget"
            for cell, outcome in outcomes.items()
            if cell.stage == "repeat" and cell.arm not in ablation.arms and not math.isfinite(outcome.val_loss)
        }
    )


def _decisions(ablation: Ablation, gains: Mapping[str, Sequence[Gain]]) -> dict[str, Decision]:
    """Verdicts: the primary comparisons as one family, each other one by itself."""
    rule = Rule(margin=ablation.margin if ablation.against else log_margin(ablation.margin))
    primary = {name: gains[name] for name in ablation.primary if name in gains}
    decisions = decide(primary, rule, look=ablation.look) if primary else {}
    for name in gains.keys() - primary.keys():
        decisions |= decide({name: gains[name]}, rule, look=ablation.look)
    return decisions
