"""From the command line to the first training step: what `growlab worker` takes until a GPU trains, in seconds.

    python benchmarks/gpu/cold_start.py CORPUS OUT.jsonl

The first trial of pace.yaml, twice: the second time the cache on disk holds what the first has put there, compiled
blocks too. A plugin tells when the model is built, and when the first and the sixth step are over on the device: by
then the step is a graph.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rows import Rows, about, parser_of
from trials import create

PROBE = """
import json, time
import torch
from growlab.data import register_source
from growlab.training.run import TrialRun

@register_source("probe", "no text: it tells when steps are over")
def probe(spec):
    return ""

loaded_at, told, train_step = time.time(), {}, TrialRun.train_step

def watched(self):
    if "loaded" not in told:
        told.update(loaded=loaded_at, built=time.time())
    train_step(self)
    if self.counters.step in (1, 6):
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()
        told[f"step {self.counters.step}"] = time.time()
        with open(%r, "w") as file:
            json.dump(told, file)

TrialRun.train_step = watched
"""


def start(corpus: Path, device: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        create(corpus, Path(folder), n_trials=1)
        probe, told = Path(folder, "probe.py"), Path(folder, "told.json")
        probe.write_text(PROBE % str(told))
        began = time.time()
        command = [sys.executable, "-m", "growlab", "worker", "pace", "--device", device, "--plugin", str(probe)]
        subprocess.run([*command, "--max-time", "30"], check=True)
        return {name: round(at - began, 2) for name, at in json.loads(told.read_text()).items()}


def main() -> None:
    asked = parser_of(__doc__, devices=True).parse_args()
    rows = Rows(asked.out)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["GROWLAB_CACHE"] = cache
        if "cold start, warm disk cache" not in rows:
            cold, warm = (start(asked.corpus.resolve(), asked.device) for _ in range(2))
            seconds = {"warm_s": warm, "with_an_empty_cache_s": cold}
            rows.add("cold start, warm disk cache", seconds | about("cold_start.py", asked.corpus, asked.out))


if __name__ == "__main__":
    main()
