"""What supervisor and trainer say to one another, over one pipe. Pickled; nothing here needs torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from growlab.records import Paused, TrialProgress, TrialState
from growlab.storage import Claim

# ---- to the trainer ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TrainerSetup:
    """The setup given when the process starts, never on a command line: the URL may hold a password."""

    storage_url: str
    artifacts: Path
    device: str
    n_threads: int  # of torch on the CPU; 0: torch decides
    checkpoint_every_s: float
    plugins: tuple[Path, ...]  # files
    deterministic: bool
    patience_s: float  # for a database that is away
    moved: Mapping[str, str] = field(default_factory=dict)  # recorded path of a text → where it lies here


@dataclass(frozen=True)
class Propose:
    """An order to put what a study wants next into the queue: a trial, or one that goes on from its rung."""

    study: str  # its name


@dataclass(frozen=True, kw_only=True)
class Train:
    """An order to train a claimed trial."""

    claim: Claim
    folder: str  # below the artifact root


@dataclass(frozen=True)
class Stop:
    """An order to save what is being trained and put it down."""


# ---- from the trainer ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The trainer has loaded all it needs and waits for orders."""

    device: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Proposed:
    """What the study wanted is in the queue, by us or by a faster worker."""


@dataclass(frozen=True, kw_only=True)
class NoneWanted:
    """The study wants nothing now, and nothing later either where it `is_done`."""

    is_done: bool


@dataclass(frozen=True, kw_only=True)
class Began:
    """The trial stands at this step and goes on from it; `note` says why that is not its checkpoint's step."""

    step: int
    note: str


@dataclass(frozen=True)
class Progress:
    """The trial stands here."""

    progress: TrialProgress


@dataclass(frozen=True)
class Worn:
    """After the answer that follows, the trainer is to be replaced: its process is no longer sound."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The trial has its final state in the database."""

    state: TrialState
    summary: str


@dataclass(frozen=True)
class Stopped:
    """The trial is put down and can be released."""

    note: str = ""


@dataclass(frozen=True)
class Lost:
    """Another worker owns the trial now."""

    reason: str


@dataclass(frozen=True)
class Unfit:
    """This worker cannot run the study: its corpus, disk or installation is at fault, not the trial."""

    reason: str
    is_usage: bool  # whoever started this worker said something wrong


@dataclass(frozen=True)
class Crowded:
    """The trial found too little memory because others hold some of it: it may fit another time."""

    reason: str


@dataclass(frozen=True)
class Crashed:
    """An error that nobody foresaw; the process ends after saying so."""

    reason: str


ToTrainer = Propose | Train | Stop
FromTrainer = (
    Ready
    | Proposed
    | NoneWanted
    | Began
    | Progress
    | Worn
    | Ended
    | Paused
    | Stopped
    | Lost
    | Unfit
    | Crowded
    | Crashed
)
