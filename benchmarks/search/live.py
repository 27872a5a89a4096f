"""A search on a real text, from nothing to a test loss, in some ten minutes of one GPU.

    python benchmarks/search/live.py CORPUS FOLDER all|attention [--device cuda] [--minutes 6] [--slots 4]

`all` searches live.yaml, `attention` the same with attention and MLP alone. The protocol, fixed before its first run,
but for two figures: in that run, of attention alone, three times the budget overfitted, and dropout went to 0.35 only.

1. search for so many minutes; 2. the three trials of lowest val_loss, again on a fresh seed each, in one and a half
times the budget; 3. the one with the lowest mean, trained on train and val (data.train_on_val) in that budget with
three fresh seeds; 4. the test split read once for each. Nothing is chosen after step 2. Everything goes into
FOLDER/ARM.db; the last line printed is JSON. A command that was stopped goes on where it was; a search that was
stopped is over.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

from growlab.errors import NotFound
from growlab.plugins import load_plugins
from growlab.proposal import given_proposal
from growlab.records import TrialState
from growlab.seeds import derived_seed
from growlab.specs import TrialSpec
from growlab.storage import Store, TrialRow
from growlab.study.sampler_section import read_sampler

HERE = Path(__file__).parent
TOP, SEEDS, FINAL_SEEDS, LONGER = 3, 1, 3, 1.5
ATTENTION = [
    "layouts.blocks={attn: {n_heads: 6, heads_per_kv: 1, qk_norm: true, gate: [false, true]}, "
    "mlp: {expand: [2.6666666666666665, 4.0], activation: swiglu}}",
    "layouts.start_with=['d=192 (attn[n_heads=6,qk_norm=true] mlp)x8']",
]


def growlab(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "growlab", *words], check=True)


def work(study: str, asked: argparse.Namespace, *options: str) -> None:
    growlab("worker", study, "--device", asked.device, "--checkpoint-every", "3600", *options)


def is_there(store: Store, name: str) -> bool:
    try:
        store.study(name)
    except NotFound:
        return False
    return True


def train(store: Store, name: str, specs: list[TrialSpec], asked: argparse.Namespace) -> list[TrialRow]:
    """Train these trials side by side, as a study of their own."""
    if not is_there(store, name):
        study = replace(store.study("live").study, name=name, n_trials=len(specs), sampler=read_sampler("given"))
        given = [given_proposal(spec, at, {}) for at, spec in enumerate(specs)]
        store.create_study(replace(study, data=specs[0].data), given)
    work(name, asked, "--slots", str(len(specs)))
    return store.trials(store.study(name).id)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("arm", choices=("all", "attention"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--slots", default="4")
    parser.add_argument("--set", dest="sets", action="append", default=[], help="of the study, for a trial run")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    storage = os.environ["GROWLAB_STORAGE"] = f"sqlite:///{asked.folder.resolve()}/{asked.arm}.db"
    os.environ["GROWLAB_ARTIFACTS"] = str(asked.folder.resolve() / asked.arm)
    load_plugins(())
    sets = [f"data.path={asked.corpus.resolve()}", *(ATTENTION if asked.arm == "attention" else []), *asked.sets]
    with Store.open(storage, create=True) as store:
        if not is_there(store, "live"):
            growlab(
                "study", "create", str(HERE / "live.yaml"), *(word for change in sets for word in ("--set", change))
            )
            work("live", asked, "--slots", asked.slots, "--max-time", str(int(60 * asked.minutes)))
        trials = store.trials(store.study("live").id)
        done = [trial for trial in trials if trial.state is TrialState.COMPLETED]
        best = sorted(done, key=lambda trial: trial.val_loss)[:TOP]
        seeds = [derived_seed(0, "live", at) for at in range(SEEDS + FINAL_SEEDS)]
        longer = [
            replace(one.spec, budget=replace(one.spec.budget, amount=round(LONGER * one.spec.budget.amount)))
            for one in best
        ]
        again = train(store, "again", [replace(spec, seed=seed) for spec in longer for seed in seeds[:SEEDS]], asked)
        means = [fmean(row.val_loss or 9.0 for row in again[SEEDS * at : SEEDS * (at + 1)]) for at in range(len(best))]
        at = means.index(min(means))
        chosen, data = best[at], replace(longer[at].data, train_on_val=True)
        final = train(store, "final", [replace(longer[at], seed=seed, data=data) for seed in seeds[SEEDS:]], asked)
        for trial in final:
            if not store.metrics(trial.id, "test", "loss"):
                growlab("test", "final", "--trial", str(trial.number), "--device", asked.device)
        tests = [store.metrics(trial.id, "test", "loss")[0].value for trial in final]
    told = {
        "arm": asked.arm,
        "trials": len(trials),
        "completed": len(done),
        "best": [
            [one.number, one.layout, one.layout_end, one.val_loss, mean] for one, mean in zip(best, means, strict=True)
        ],
        "chosen": [chosen.number, chosen.layout, chosen.params, chosen.n_params],
        "test": tests,
        "mean": fmean(tests),
        "sd": stdev(tests),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
