"""Trials per GPU-hour of `growlab worker`: one at a time, and several at once on one GPU.

    python benchmarks/gpu/trials.py CORPUS OUT.jsonl [--slots 1 2 3] [--mps]

The six trials of pace.yaml, everything counted from the first claim to the last result; beside it the wall time of the
command, with the start of its processes. A first trial, not counted, fills the cache on disk, with compiled blocks too.
--mps says that NVIDIA's MPS is running (whoever calls this starts it), under which processes compute side by side.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rows import Rows, about, parser_of

STUDY = Path(__file__).with_name("pace.yaml")


def growlab(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "growlab", *words], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def create(corpus: Path, folder: Path, *, n_trials: int) -> None:
    os.environ["GROWLAB_STORAGE"] = f"sqlite:///{folder}/pace.db"
    growlab("study", "create", str(STUDY), "--set", f"data.path={corpus}", "--set", f"n_trials={n_trials}")


def pace(corpus: Path, slots: int, device: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        create(corpus, Path(folder), n_trials=6)
        began = time.perf_counter()
        growlab("worker", "pace", "--device", device, "--slots", str(slots))
        wall_s = time.perf_counter() - began
        (study,) = json.loads(growlab("study", "list", "--json"))
        trials = json.loads(growlab("report", "pace", "--json"))["trials"]
    assert {trial["state"] for trial in trials} == {"completed"}
    return {
        "trials_per_hour": round(study["trials_per_hour"], 1),
        "at_once": round(study["trials_at_once"], 2),
        "wall_s": round(wall_s, 1),
        "val_losses": [round(trial["val_loss"], 4) for trial in trials],
        "engine": trials[0]["engine"],
    }


def warm_up(corpus: Path, device: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        create(corpus, Path(folder), n_trials=1)
        growlab("worker", "pace", "--device", device, "--max-time", "60")


def main() -> None:
    parser = parser_of(__doc__, devices=True)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--mps", action="store_true")
    asked = parser.parse_args()
    corpus, rows = asked.corpus.resolve(), Rows(asked.out)
    asked_for = {f"{slots} slot(s){', MPS' if asked.mps else ''}": slots for slots in asked.slots}
    left = {what: slots for what, slots in asked_for.items() if what not in rows}
    if left:
        warm_up(corpus, asked.device)
    for what, slots in left.items():
        options = f"--slots {slots}{' --mps' if asked.mps else ''}"
        rows.add(what, pace(corpus, slots, asked.device) | about("trials.py", asked.corpus, asked.out, options))


if __name__ == "__main__":
    main()
