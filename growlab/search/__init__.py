"""What to try next, as a function of a study and its past.

    decide       is there a trial to propose or to promote, or only to wait
    propose      the next trial of a study; ten of them as a preview
    replay       a proposal made again, from what its decision saw
    sampling     what a sampler sees and gives; the table of them is growlab.samplers
    samplers/    one file for each
    ├── model        the candidate from which a model of layouts and scalars expects most
    ├── evolution    a child of a good young trial that nobody has tried; scalars by TPE
    ├── grid         every layout to start with at every combination of the choices
    ├── random       the control
    ├── tpe, gp, nsga2   Optuna's, over layouts and scalars together
    └── given        nothing: trials that somebody enqueued
    rungs/           which paused trial trains on, and what its readings say of its end
    stopping         which trial is stopped at a mark, by what others came to there
    model/           what the sampler of that name knows: encoding, kernel, process, outlook, candidates, choice
    optuna/          Optuna's side: the past as its trials, kept; our samplers in anybody's study
    parameters       the space as a list of parameters with conditions, as other optimisers are told it
    configuration    what a search decides of a trial
    nearness         how far configurations are from each other, where nothing is learnt
    kept             what stays in memory from one decision to the next
    adding           a trial that a person adds, to be trained or with its result
    draw             one layout, and how it came about
    limits           what layouts.max_params and its like allow
    mutations        the small changes: insert, delete, swap, substitute, options, width, units
    repair           back into the study's space
    random_layouts   a layout as people build them
    judging          trials by all objectives and constraints of their study
    scalarising      several objectives as one number, for samplers that know one
    past             how good each trial was, which layouts were tried
    scalars          TPE over the past; failures count as the worst
    growing          can a trial grow at all, has a stage of a curriculum any step
    sections         train and growth of a trial
    space            is a study sound, is it wise
    extent           how large a space is, and what limits leave of it
    menu             which blocks a study may draw, and what fits a width

No torch in this room, and Optuna only once a scalar is to be suggested. It knows block kinds as data
(growlab.kinds) and a model's size, FLOPs, state and memory by the `measure` that it is handed.
"""

from growlab.proposal import Proposal
from growlab.search.decide import Done, New, Next, Promote, Wait, decide
from growlab.search.propose import preview, propose
from growlab.search.random_layouts import random_layout
from growlab.search.samplers import evolution, given, grid, model, random  # noqa: F401  (they fill the table)
from growlab.search.sampling import sampler_options
from growlab.search.space import check_limits, check_space, warnings_for

__all__ = [
    "Done",
    "New",
    "Next",
    "Promote",
    "Proposal",
    "Wait",
    "check_limits",
    "check_space",
    "decide",
    "preview",
    "propose",
    "random_layout",
    "sampler_options",
    "warnings_for",
]
