"""Whether a worker that trains many trials keeps its memory: the 200 tiny, growing trials of soak.yaml, in one worker.

    python benchmarks/gpu/soak.py CORPUS OUT.jsonl [--study short.yaml] [--trials 200]

Every second: how many trials have ended, the resident memory of the worker's processes and the memory in use on the
GPU. The row compares the largest of each while trials 21 to 60 ran with the largest over the last 40.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rows import Rows, about, parser_of
from trials import growlab

STUDY = Path(__file__).with_name("soak.yaml")


def resident_mb(parent: int) -> float:
    """Of a process and all below it."""
    total, family = 0, {parent}
    for status in sorted(Path("/proc").glob("[0-9]*/status"), key=lambda path: int(path.parent.name)):
        try:
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        except OSError:
            continue
        if int(fields["Pid"]) in family or int(fields["PPid"]) in family:
            family.add(int(fields["Pid"]))
            total += int(fields.get("VmRSS", "0 kB").split()[0])
    return total / 1024


def gpu_mb() -> float:
    if shutil.which("nvidia-smi") is None:
        return 0.0
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    asked = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", gpu]
    return float(subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout)


def soak(corpus: Path, device: str, study: Path, n_trials: int) -> dict[str, object]:
    samples: list[tuple[int, float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GROWLAB_STORAGE"] = f"sqlite:///{folder}/soak.db"
        growlab("study", "create", str(study), "--set", f"data.path={corpus}", "--set", f"n_trials={n_trials}")
        began, log = time.perf_counter(), Path(folder, "log")
        with log.open("w") as file:
            worker = subprocess.Popen(
                [sys.executable, "-m", "growlab", "worker", study.stem, "--device", device], stderr=file
            )
        while worker.poll() is None:
            ended = log.read_text().count("val_loss")
            samples.append((ended, resident_mb(worker.pid), gpu_mb()))
            time.sleep(1)
        wall_s = time.perf_counter() - began
        trials = json.loads(growlab("report", study.stem, "--json"))["trials"]
    early = [each for each in samples if 20 <= each[0] < 60]
    late = [each for each in samples if each[0] >= len(trials) - 40]
    return {
        "exit": worker.returncode,
        "states": dict(Counter(trial["state"] for trial in trials)),
        "growths": sum(trial["depth_end"] > trial["depth_start"] for trial in trials),
        "engines": dict(Counter(trial["engine"] for trial in trials)),
        "wall_s": round(wall_s, 1),
        "resident_mb_trials_21_to_60_and_last_40": [round(max(each[1] for each in part)) for part in (early, late)],
        "gpu_mb_trials_21_to_60_and_last_40": [round(max(each[2] for each in part)) for part in (early, late)],
    }


def main() -> None:
    parser = parser_of(__doc__, devices=True)
    parser.add_argument("--study", type=Path, default=STUDY)
    parser.add_argument("--trials", type=int, default=200)
    asked = parser.parse_args()
    rows, of = Rows(asked.out), "" if asked.study == STUDY else f" of {asked.study.name}"
    what, options = f"soak of {asked.trials} trials{of}", f"--study {asked.study.name} --trials {asked.trials}"
    if what not in rows:
        found = soak(asked.corpus.resolve(), asked.device, asked.study, asked.trials)
        rows.add(what, found | about("soak.py", asked.corpus, asked.out, options))


if __name__ == "__main__":
    main()
