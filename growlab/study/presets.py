"""Growth plans by name: `growth: early-double`, or {preset: early-double, freeze_steps: 100}.

A preset is a growth section as a file may have it; what a file says beside its name replaces what the preset says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EARLY_DOUBLE = "early-double"


@dataclass(frozen=True, kw_only=True)
class Preset:
    summary: str
    section: Mapping[str, Any]


def _founding(
    beta0: float,
    gamma0: float,
    eta0: float,
    k_subspace: int,
    ell_orth: int,
    *,
    tau_crit: float = 2.0,
    kappa_crit: float = 0.5,
    patience: int = 5,
) -> Mapping[str, Any]:
    """A section of the founding project, AIether: one unit on top, loud, when stagnation is noticed."""
    stagnation = {"tau_crit": tau_crit, "kappa_crit": kappa_crit, "patience": patience, "threshold": 0.15}
    gains = {"beta0": beta0, "gamma0": gamma0, "eta0": eta0, "k_subspace": k_subspace, "ell_orth": ell_orth}
    return {
        "trigger": {"stagnation": stagnation | {"warmup_steps": 400}},
        "operator": {"aiether": gains},
        "position": "append",
        "watch": "newest",
        "entry_scale": 1.0,
        "history_window_size": 15,
        "collect_interval_steps": 100,
        "freeze_steps": 400,
        "rewarm_steps": 500,
        "cooldown_steps": 0,
        "max_depth": 12,
    }


# The founding project's are those of its README.
PRESETS: Mapping[str, Preset] = {
    EARLY_DOUBLE: Preset(
        summary="the whole stack again on top after a twentieth of the budget, loud and unfrozen: what measured best",
        section={
            "trigger": {"at": {"shares": 0.05}},
            "operator": "stack",
            "position": "append",
            "factor": 2,
            "entry_scale": 1.0,
            "freeze_steps": 0,
            "cooldown_steps": 0,
            "max_depth": 0,
        },
    ),
    "aiether": Preset(summary="the founding project's default", section=_founding(0.1, 0.15, 0.03, 10, 5)),
    "aiether-conservative": Preset(
        summary="its cautious one", section=_founding(0.08, 0.12, 0.02, 8, 4, tau_crit=2.5, kappa_crit=0.7)
    ),
    "aiether-aggressive": Preset(
        summary="its bold one", section=_founding(0.15, 0.2, 0.05, 12, 6, tau_crit=1.8, kappa_crit=0.4, patience=3)
    ),
    "aiether-gpt2": Preset(
        summary="its one for GPT-2's size, whose escape term is dead over 15 snapshots",
        section=_founding(0.12, 0.18, 0.04, 15, 7),
    ),
    "aiether-linear": Preset(summary="its ablation: velocity alone", section=_founding(0.15, 0.0, 0.0, 10, 5)),
    "aiether-curvature": Preset(
        summary="its ablation: velocity and curvature", section=_founding(0.12, 0.18, 0.0, 10, 5)
    ),
    "aiether-full": Preset(summary="its ablation: all three terms", section=_founding(0.1, 0.15, 0.03, 10, 5)),
}
