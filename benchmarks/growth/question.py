"""A question of the campaign: an ablation, the trainings that it still wants, and what those that are over say.

texts/prose.txt, texts/dictionary.txt    where the files of `questions` find their text
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import yaml
from ledger import Ledger, key_of

from growlab.ablate.arms import all_arms, container, spec_of
from growlab.ablate.cells import Cell, Outcome, cells_of, planned_cells, seed_of
from growlab.ablate.file import Ablation, Arm, read_ablation
from growlab.ablate.verdicts import Result, read_result
from growlab.data import Corpus
from growlab.layout import OptionValue
from growlab.preparation.checking import prepare
from growlab.specs import TrialSpec
from growlab.study import Study
from growlab.yaml_file import read_yaml

FILES = Path(__file__).parent / "questions"
Raw = dict[str, Any]


@dataclass(frozen=True)
class Question:
    name: str
    ablation: Ablation
    arms: Mapping[str, Arm]
    study: Study
    corpus: Corpus
    tested: frozenset[str] = frozenset()  # arms that are read on the test split in the end
    _begun: dict[tuple[str, tuple[Any, ...]], TrialSpec] = field(default_factory=dict)
    _keys: dict[Cell, str] = field(default_factory=dict)

    @classmethod
    def read(
        cls, name: str, file: Path, texts: Path, changes: Sequence[str] = (), *, tested: frozenset[str] = frozenset()
    ) -> Self:
        """Read a file's ablation, whose data.path is a name in the folder `texts`, with `key=value` for changes of it.

        Raises GrowlabError.
        """
        text = texts / Path(str(read_yaml(file)["data"]["path"])).name
        ablation = read_ablation(file, [f"data.path={text.resolve()}", *changes])
        study, corpus = prepare(container(ablation), (), lambda note: None, warns=False)
        return cls(name, ablation, all_arms(ablation), study, corpus, tested)

    def spec(self, cell: Cell) -> TrialSpec:
        """The trial of a cell. Those of an arm differ in the seed and the budget alone, and are made once."""
        amount = round(cell.budget * self.ablation.flops)
        begun = self._begun.get((cell.arm, cell.values))
        if begun is None:
            values: dict[str, OptionValue] = dict(cell.values)
            begun = spec_of(self.ablation, self.arms[cell.arm], values, budget=1.0, seed=0)
            begun = replace(begun, data=self.study.data, curriculum=self.study.curriculum)
            self._begun[cell.arm, cell.values] = begun
        seed = seed_of(self.ablation, cell.stage, cell.repeat)
        return replace(begun, seed=seed, budget=replace(begun.budget, amount=amount))

    def key(self, cell: Cell) -> str:
        """What the ledger knows its training by."""
        if cell not in self._keys:
            self._keys[cell] = key_of(self.spec(cell))
        return self._keys[cell]

    def is_tested(self, cell: Cell) -> bool:
        return cell.stage == "repeat" and cell.arm in self.tested and cell.budget == 1.0

    def outcomes(self, ledger: Ledger) -> dict[Cell, Outcome]:
        """What is over of what is wanted, tuning first: it tells what is wanted then."""
        found: dict[Cell, Outcome] = {}
        while True:
            wanted = [cell for cell in cells_of(self.ablation, self.arms, found) if cell not in found]
            ended = {cell: ledger[key].outcome() for cell in wanted if (key := self.key(cell)) in ledger}
            if not ended:
                return found
            found |= ended

    def missing(self, ledger: Ledger) -> Iterator[Cell]:
        """The cells that are wanted by now and are not over."""
        outcomes = self.outcomes(ledger)
        return (cell for cell in cells_of(self.ablation, self.arms, outcomes) if cell not in outcomes)

    def planned(self, ledger: Ledger) -> list[Cell]:
        """All cells as far as they are known: of an arm that is not tuned yet, repeats with the first listed values."""
        known = cells_of(self.ablation, self.arms, self.outcomes(ledger))
        repeated = {cell.arm for cell in known if cell.stage == "repeat"}
        guessed = [cell for cell in planned_cells(self.ablation, self.arms) if cell.arm not in repeated]
        return list(dict.fromkeys([*known, *(cell for cell in guessed if cell.stage == "repeat")]))

    def result(self, ledger: Ledger) -> Result:
        outcomes = self.outcomes(ledger)
        return read_result(self.ablation, self.arms, cells_of(self.ablation, self.arms, outcomes), outcomes)

    def is_over(self, ledger: Ledger) -> bool:
        return not any(True for _ in self.missing(ledger))


def write_raw(raw: Raw, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(raw, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


# ---- a miniature ---------------------------------------------------------------------------------------------------

_TINY_FLOPS = 6e8 / 6.881e14  # of eight units of width 32 that read 2 × 16 tokens, some 30 steps
_EAGER = {  # windows that are full in some steps, and triggers that act by then
    "window": {"history_window_size": 8, "collect_interval_steps": 1},
    "stagnation": {"tau_crit": 0.0, "kappa_crit": 0.0, "threshold": 1.0, "warmup_steps": 0},
    "corrected": {"drift_crit": 100.0},
    "slope": {"least": 100.0},
    "probe": {"least": -100.0},
}


def tiny(raw: Raw) -> Raw:
    """The same arms, seconds small: every part of a plan acts, and no loss means anything."""
    small = _mapped(raw)
    small["train"] |= {"batch_size": 2, "seq_len": 16}
    small["repeats"] = 1
    if "envelope" in raw:
        units = raw["envelope"]["units"].items()
        small["envelope"]["units"] = {n: [each for each in own if each in (own[0], 1.0)] for n, own in units}
    if len(raw["arms"]) > 1 and "tune" in raw:  # else tuning is tried, too
        small["train"]["lr"] = small.pop("tune")["train.lr"][0]
    small["budget"] = {"flops": round(float(raw["budget"]["flops"]) * _TINY_FLOPS)}
    return small


def tiny_search(raw: Raw) -> Raw:
    """The same space, and six trials."""
    small = _mapped(raw) | {"n_trials": 6, "budget": {"flops": round(float(raw["budget"]["flops"]) * _TINY_FLOPS)}}
    small["train"] |= {"batch_size": 2, "seq_len": 16}
    small["layouts"]["d_model"] = 32
    small["sampler"]["startup_trials"] = 4
    return small


def _mapped(value: Any, key: str = "") -> Any:
    if key == "trigger":
        options = {value: {}} if isinstance(value, str) else value
        return {name: {**options[name], **_EAGER.get(name, {})} for name in options}
    if isinstance(value, dict):
        return {name: _mapped(each, str(name)) for name, each in value.items()}
    if key in ("layout", "start_with") and isinstance(value, str | list):
        return re.sub(r"d=\d+", "d=32", value) if isinstance(value, str) else [_mapped(each, key) for each in value]
    if key == "eval_every":
        return 2 if value < 100 else value
    if key in ("freeze_steps", "rewarm_steps") and isinstance(value, int):
        return min(value, 3)
    return _EAGER["window"].get(key, value)
