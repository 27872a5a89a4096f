"""What to try next: evolution on layouts, Optuna's TPE on scalars, both functions of a study's past.

    propose      the next trial of a study; ten of them as a preview
    ├── evolution    a child of a good young trial that nobody has tried
    │   ├── mutations    the small changes: insert, delete, swap, substitute, options, width, units
    │   └── repair       back into the study's space
    ├── grid         where that is asked for: every layout to start with at every combination of the choices
    ├── past         how good each trial was, which layouts were tried
    ├── scalars      TPE in memory; failures count as the worst
    └── window       k_subspace and ell_orth within what the window of snapshots holds
    growing      can a trial grow at all, has a stage of a curriculum any step
    space        is a study sound, is it wise; a random layout
    menu         which blocks a study may draw, and what fits a width

No torch in this room, and Optuna only once a scalar is to be suggested. It knows block kinds as data
(growlab.kinds) and a model's size by the function `measure` that it is handed.
"""

from growlab.proposal import Proposal
from growlab.search.decide import Done, New, Next, Wait, decide
from growlab.search.propose import preview, propose
from growlab.search.space import check_space, random_layout, warnings_for

__all__ = [
    "Done",
    "New",
    "Next",
    "Proposal",
    "Wait",
    "check_space",
    "decide",
    "preview",
    "propose",
    "random_layout",
    "warnings_for",
]
