"""budget.study and stop_when: read from what YAML or JSON made of them, and written out again.

budget: {steps: 400, study: {trials: 100, flops: 1e18, gpu_hours: 24, hours: 8}}
stop_when: {val_loss: 1.45}

`budget.study.trials` is n_trials by another name, and stored as that.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from growlab.errors import SpecError
from growlab.records import LOSSES
from growlab.study.checking import refuse_unknown, require_mapping
from growlab.study.limits import STUDY_UNITS, Limits

STUDY, TRIALS = "study", "trials"  # keys of budget, and of budget.study


def read_limits(raw: Mapping[str, Any]) -> Limits:
    """The limits that a study's mapping names; a key without a value names none. Raises SpecError."""
    budget = require_mapping("budget", raw.get("budget")).get(STUDY)
    return Limits(
        budget=_numbers("budget.study", budget, STUDY_UNITS, above=0.0),
        stop_when=_numbers("stop_when", raw.get("stop_when"), LOSSES, above=-math.inf),
    )


def write_limits(limits: Limits) -> tuple[dict[str, Any], dict[str, Any]]:
    """What stands in the section budget, and at the top: nothing where a study has no limit."""
    budget = {STUDY: dict(limits.budget)} if limits.budget else {}
    return budget, {"stop_when": dict(limits.stop_when)} if limits.stop_when else {}


def trial_part(budget: Any) -> Any:
    """A budget section without what all trials together may spend."""
    return {key: value for key, value in budget.items() if key != STUDY} if isinstance(budget, Mapping) else budget


def with_n_trials(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same study with budget.study.trials as its n_trials. Raises SpecError where both are said and differ."""
    budget = raw.get("budget")
    own = budget.get(STUDY) if isinstance(budget, Mapping) else None
    if not isinstance(budget, Mapping) or not isinstance(own, Mapping) or own.get(TRIALS) is None:
        return raw
    trials, said = own[TRIALS], raw.get("n_trials")
    if said is not None and said != trials:
        raise SpecError(f"budget.study.trials: is n_trials by another name, and that is {said!r}; got {trials!r}")
    rest = {key: value for key, value in own.items() if key != TRIALS}
    return {**raw, "n_trials": trials, "budget": {**budget, STUDY: rest}}


def _numbers(section: str, raw: Any, known: Iterable[str], *, above: float) -> dict[Any, float]:
    if raw is None:
        return {}
    refuse_unknown(f"{section}.", raw, known)
    return {key: _number(f"{section}.{key}", value, above) for key, value in raw.items() if value is not None}


def _number(key: str, raw: Any, above: float) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw) or raw <= above:
        expected = "a number" if above == -math.inf else f"a number greater than {above:g}"
        raise SpecError(f"{key}: must be {expected}, got {raw!r}")
    return float(raw)
