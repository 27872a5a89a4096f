"""Plants faults, those of the founding projects first, into a copy of growlab, one at a time: do the tests notice?

    make mutants

For each fault it says which test failed first. It leaves with 1 where a fault is noticed by none, or its place is no
longer found. Minutes; no part of `make test`.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("blocks", "model", "growth", "training")  # a fault is looked for in the tests of its own room first
COPIED = ("growlab", "tests", "docs", "alembic", "studies", "pyproject.toml")


@dataclass(frozen=True)
class Mutant:
    fault: str
    file: str
    sound: str  # stands in the file once
    faulty: str


MUTANTS = (
    Mutant(
        "AETHER: a convolution that is symmetric sees the future",
        "growlab/blocks/conv.py",
        "F.pad(value_BDT, (self.past, 0))",
        "F.pad(value_BDT, (self.past - self.past // 2, self.past // 2))",
    ),
    Mutant(
        "AGIFORMER: a patch padded by one on both sides sees a token of the next one",
        "growlab/blocks/patch.py",
        "self.encoder(seen_BSD[:, : self.context + whole].transpose(1, 2))",
        "self.encoder(F.pad(seen_BSD, (0, 0, 0, 1))[:, 1 : 1 + self.context + whole].transpose(1, 2))",
    ),
    Mutant(
        "Aetheris: the weight of a single expert divided by itself",
        "growlab/blocks/moe.py",
        "            if self.options.renormalise:\n",
        "            if True:\n",
    ),
    Mutant(
        "Aetheris: the auxiliary loss weighed twice",
        "growlab/blocks/moe.py",
        "penalty + self.options.balance * routing.imbalance()",
        "penalty + 2 * self.options.balance * routing.imbalance()",
    ),
    Mutant(
        "AGIFORMER: sums of log decays clamped",
        "growlab/blocks/decaying_memory.py",
        "    sums = (x[..., None] * later).cumsum(-2)\n",
        "    whole = x.cumsum(-1).clamp(min=-50)\n    sums = whole[..., :, None] - whole[..., None, :]\n",
    ),
    Mutant(
        "AETHER: a Hebbian trace that is shared in the batch",
        "growlab/blocks/hebbian_head.py",
        "return logits_BTV, (memory[:, 0], n_BTD[:, -1:])",
        "return logits_BTV, (memory[:, 0].mean(0).expand_as(memory[:, 0]), n_BTD[:, -1:])",
    ),
    Mutant(
        "AGIFORMER: adaptive computation that never halts",
        "growlab/blocks/act.py",
        "goes_on_BT1 = running_BT1 * (self.left_BT1 - h_BT1 > NEARLY)",
        "goes_on_BT1 = running_BT1 * (logits_BT1 is not None)",
    ),
    Mutant(
        "what blocks want besides is in the reported validation loss",
        "growlab/training/evaluation.py",
        "_measured(model(x_BT.to(device)), y_BT.to(device), answers=isinstance(ids, TaskSplit))",
        "_measured(model(x_BT.to(device)), y_BT.to(device), answers=isinstance(ids, TaskSplit))"
        " + (model.objective(x_BT.to(device), y_BT.to(device))[1] or 0)",
    ),
    Mutant(
        "what blocks want besides is in the reported training loss",
        "growlab/training/run.py",
        "self.loss_sum += loss.detach()",
        "self.loss_sum += (loss if penalty is None else loss + penalty).detach()",
    ),
    Mutant(
        "the blocks of act drop of their outputs",
        "growlab/blocks/act.py",
        "s_BTD = s_BTD + rounds.running_BT1 * mixed_BTD\n                penalties",
        "s_BTD = s_BTD + rounds.running_BT1 * nn.functional.dropout(mixed_BTD, self.p_dropout, self.training)\n"
        "                penalties",
    ),
    Mutant(
        "growth compares with the best loss, not with the last check's",
        "growlab/growth/triggers/stagnation.py",
        "        self.last_val_loss = moment.val_loss\n        return",
        "        self.last_val_loss = min(self.last_val_loss, moment.val_loss)\n        return",
    ),
    Mutant(
        "the q_norm of a unit that grows takes the path of k_norm",
        "growlab/growth/source.py",
        "path = window.path(name)",
        'path = window.path(name.replace("q_norm", "k_norm"))',
    ),
)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        home = Path(folder)
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, home / name)
        survivors = [mutant for mutant in MUTANTS if not noticed(mutant, home)]
    print(f"{len(MUTANTS) - len(survivors)} of {len(MUTANTS)} faults noticed")
    return 1 if survivors else 0


def noticed(mutant: Mutant, home: Path) -> bool:
    """Whether a test fails with the fault in; prints which."""
    file = home / mutant.file
    text = file.read_text()
    if text.count(mutant.sound) != 1:
        print(f"LOST    {mutant.fault}: {mutant.file} no longer says {mutant.sound!r}")
        return False
    began = time.monotonic()
    file.write_text(text.replace(mutant.sound, mutant.faulty))
    try:
        failure = first_failure(home, mutant)
    finally:
        file.write_text(text)
    verdict, what = ("caught ", failure) if failure else ("SURVIVED", "no test failed")
    print(f"{verdict} {mutant.fault}: {what} ({time.monotonic() - began:.0f} s)", flush=True)
    return failure != ""


def first_failure(home: Path, mutant: Mutant) -> str:
    """Of the tests of the copy, or ''. Raises RuntimeError where they could not be run at all."""
    own = Path(mutant.file).parts[1]
    rooms = [f"tests/{room}" for room in sorted(ROOMS, key=lambda room: room != own)]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *rooms]
    environment = {**os.environ, "PYTHONPATH": str(home)}
    ran = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
    if ran.returncode == 0:
        return ""
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", ran.stdout, re.MULTILINE)
    if ran.returncode != 1 or not found:
        raise RuntimeError(f"the tests did not run:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    return found[1]


if __name__ == "__main__":
    raise SystemExit(main())
