"""A simulation for a person, and its trials for a program."""

from collections.abc import Iterator
from typing import TextIO

from growlab import amounts
from growlab.delimited import delimited
from growlab.report.terminal import Trimmed, as_it_is, console_for
from growlab.report.terminal_table import TableColumn, table_of
from growlab.simulate.outcome import Simulation, Standing
from growlab.simulate.worker import Doing


def print_simulation(simulation: Simulation, stream: TextIO) -> None:
    """Print what came of it, and the best value as time and FLOPs went on."""
    console = console_for(stream)
    workers = f"{simulation.n_workers:,} worker{'s' if simulation.n_workers > 1 else ''}"
    title = f"{simulation.study}: {len(simulation.trials):,} trials on {workers}"
    console.print(as_it_is(f"{title}, {amounts.duration(simulation.ended_s)} of virtual time", "bold"))
    for line in _lines(simulation):
        console.print(as_it_is(f"  {line}"))
    console.print()
    console.print(Trimmed(table_of(simulation.marks, _columns(simulation))))


def _lines(simulation: Simulation) -> Iterator[str]:
    states = ", ".join(f"{n:,} {state}" for state, n in simulation.counts.items() if n)
    promotions = f"; {simulation.n_promotions:,} promotions" if simulation.n_promotions else ""
    yield f"{states}{promotions}; {amounts.flops(simulation.flops)}"
    total_s = sum(simulation.worker_s.values())
    shares = {doing: seconds / total_s if total_s else 0.0 for doing, seconds in simulation.worker_s.items()}
    away = f", {amounts.share(shares[Doing.AWAY])} away" if shares[Doing.AWAY] else ""
    idle_s = amounts.duration(simulation.worker_s[Doing.IDLE] / simulation.n_workers)
    training, idle = (amounts.share(shares[doing]) for doing in (Doing.TRAINING, Doing.IDLE))
    yield f"workers: {training} training, {idle} idle{away}; each was idle for {idle_s} on average"
    if simulation.n_deaths or simulation.n_preemptions or simulation.lost_flops:
        lost = f"{amounts.flops(simulation.lost_flops)} were trained twice"
        yield f"{simulation.n_deaths:,} deaths, {simulation.n_preemptions:,} preemptions; {lost}"
    n_near = len(simulation.trials) - simulation.n_exact
    near = f"{n_near:,} as the nearest training, {simulation.distance:.3f} away on average" if n_near else ""
    yield "trials stand in the table: " + ", ".join(filter(None, [f"{simulation.n_exact:,} as they are", near]))


def _columns(simulation: Simulation) -> "tuple[TableColumn[Standing], ...]":
    paused = TableColumn[Standing]("paused", lambda standing: f"{standing.n_paused:,}")
    return (
        TableColumn("time", lambda standing: amounts.duration(standing.at_s)),
        TableColumn("FLOPs", lambda standing: amounts.flops(standing.flops)),
        TableColumn("over", lambda standing: f"{standing.n_over:,}"),
        *([paused] if any(standing.n_paused for standing in simulation.marks) else []),
        TableColumn(f"best {simulation.metric}", lambda standing: amounts.loss(standing.best)),
        TableColumn("trial", lambda standing: amounts.whole(standing.trial)),
    )


_OF_TRIAL = ("number", "decided_s", "began_s", "ended_s", "state", "value", "flops", "n_attempts")
_OF_DECISION = ("origin", "parent", "mutation", "distance", "layout")


def trials_as_text(simulation: Simulation) -> str:
    """The trials in the order in which they were decided, as TSV: times in virtual seconds, searched scalars last."""
    params = list(dict.fromkeys(name for trial in simulation.trials for name in trial.params))
    names = [*_OF_TRIAL, "promoted_s", *_OF_DECISION, *params]
    rows = (
        [
            *(getattr(trial, name) for name in _OF_TRIAL),
            " ".join(map(str, trial.promoted_s)),
            *(getattr(trial, name) for name in _OF_DECISION),
            *(trial.params.get(name) for name in params),
        ]
        for trial in simulation.trials
    )
    return delimited(names, rows, "\t")
