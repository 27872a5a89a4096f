"""Make a table of real trainings, which a benchmark of searches then looks results up in.

    python benchmarks/search/real_tables.py CORPUS FOLDER complete|seeds|top|deep [--device all] [--slots 8]

`complete` trains every cell of complete.yaml, `seeds` the 50 best and 50 random ones of them on two more seeds each,
`deep` the random trials of deep.yaml. `top` reads tables/ and trains the 50 cells with the lowest mean on eight more
seeds: of a few hundred cells that are all but equal the best is told by nothing less. All goes into FOLDER/tables.db; a
stopped command goes on. Each writes FOLDER/NAME.tsv, a row for each training that is over: layout, scalars, state,
val_loss at every evaluation.
"""

import argparse
import csv
import lzma
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

from growlab.errors import NotFound
from growlab.kinds import KINDS
from growlab.plugins import load_plugins
from growlab.preparation.confirming import ranked_winners
from growlab.proposal import given_proposal
from growlab.search.propose import propose
from growlab.seeds import derived_seed
from growlab.storage import Store

HERE = Path(__file__).parent
N_CHOSEN, N_SEEDS = 50, 2  # of `seeds`: as many best and as many random cells, on so many more seeds
N_TOP_SEEDS = 8
CELL_KINDS = ("attn", "conv", "mlp")


def cells() -> list[str]:
    """All layouts of complete.yaml."""
    stacks = [stack for depth in (3, 4) for stack in product(CELL_KINDS, repeat=depth) if stack[0] != "mlp"]
    return [f"d=128 {' '.join(stack)}" for stack in stacks]


def growlab(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "growlab", *words], check=False)


def create(storage: str, name: str, corpus: Path) -> None:
    """Store the study of a table, unless it is there."""
    try:
        with Store.open(storage, create=True) as store:
            store.study(name)
            return
    except NotFound:
        pass
    if name == "seeds":
        create_seeds(storage)
    elif name == "top":
        create(storage, "complete", corpus)
        create_top(storage)
    else:
        layouts = [f"layouts.start_with={cells()}".replace("'", "")] if name == "complete" else []
        sets = [word for change in [f"data.path={corpus}", *layouts] for word in ("--set", change)]
        growlab("study", "create", str(HERE / f"{name}.yaml"), *sets)


def create_seeds(storage: str) -> None:
    load_plugins(())
    with Store.open(storage) as store:
        row = store.study("complete")
        ranked = [winner.trial for winner in ranked_winners(store, row)]
        others = random.Random(0).sample(ranked[N_CHOSEN:], N_CHOSEN)
        seeds = [derived_seed(row.study.seed, at, "table") for at in range(N_SEEDS)]
        wanted = [(trial, seed) for trial in [*ranked[:N_CHOSEN], *others] for seed in seeds]
        given = [
            given_proposal(replace(trial.spec, seed=seed), number, trial.params)
            for number, (trial, seed) in enumerate(wanted)
        ]
        store.create_study(replace(row.study, name="seeds", n_trials=len(given)), given)


def create_top(storage: str) -> None:
    """The cells with the lowest means over the seeds that tables/ has, made anew as the grid proposes them."""
    load_plugins(())
    known: dict[tuple[str, str, str], list[float]] = {}
    numbers: dict[tuple[str, str, str], int] = {}
    for name in ("complete", "seeds"):
        with lzma.open(HERE / "tables" / f"{name}.tsv.xz", "rt") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                cell = row["layout"], row["lr"], row["dropout"]
                known.setdefault(cell, []).append(float(row["loss_400"]))
                numbers.setdefault(cell, int(row["number"]))
    best = sorted(known, key=lambda cell: sum(known[cell]) / len(known[cell]))[:N_CHOSEN]
    with Store.open(storage) as store:
        study = store.study("complete").study
        cells_of = [propose(study, [], numbers[cell], KINDS, lambda layout: 0) for cell in best]
        seeds = [derived_seed(study.seed, N_SEEDS + at, "table") for at in range(N_TOP_SEEDS)]
        given = [
            given_proposal(replace(cell.spec, seed=seed), number, cell.params)
            for number, (cell, seed) in enumerate(product(cells_of, seeds))
        ]
        store.create_study(replace(study, name="top", n_trials=len(given)), given)


def rows(storage: str, name: str) -> Iterator[dict[str, object]]:
    """A row for each trial that is over."""
    with Store.open(storage) as store:
        for trial in store.trials(store.study(name).id):
            if not trial.state.is_final:
                continue
            losses = {metric.step: metric.value for metric in store.metrics(trial.id, "val", "loss")}
            yield {
                "number": trial.number,
                "layout": trial.layout,
                **{key.rpartition(".")[2]: value for key, value in sorted(trial.params.items())},
                "seed": trial.spec.seed,
                "state": trial.state.value,
                "n_params": trial.n_params,
                "flops": trial.flops,
                **{f"loss_{step}": round(loss, 5) for step, loss in sorted(losses.items())},
            }


def write(path: Path, table: list[dict[str, object]]) -> None:
    columns = list(dict.fromkeys(key for row in table for key in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("table", choices=("complete", "seeds", "top", "deep"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--slots", default="1")
    parser.add_argument("--max-time", default="36000", help="seconds")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    storage = os.environ["GROWLAB_STORAGE"] = f"sqlite:///{asked.folder.resolve()}/tables.db"
    create(storage, asked.table, asked.corpus.resolve())
    limits = ["--device", asked.device, "--slots", asked.slots, "--max-time", asked.max_time]
    growlab("worker", asked.table, *limits, "--checkpoint-every", "3600")
    table = list(rows(storage, asked.table))
    write(asked.folder / f"{asked.table}.tsv", table)
    print(f"{len(table)} trainings in {asked.folder / asked.table}.tsv")


if __name__ == "__main__":
    main()
