"""How many trials at once a device is to train."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from growlab.preparation.telling import Tell
from growlab.resources import n_cores

if TYPE_CHECKING:
    from growlab.storage import Store, StudyRow

Slots = int | Literal["auto"]


def slots_for(
    store: "Store",
    row: "StudyRow",
    devices: Sequence[str],
    *,
    threads: int = 0,
    plugins: Sequence[Path] = (),
    deterministic: bool = False,
    tell: Tell,
) -> int:
    """The number of workers that each of these devices is to have, measured on the first; tells why so many."""
    from growlab.moved import moves_between, with_moved
    from growlab.preparation.remaining import n_unfinished
    from growlab.training.device import resolve_device
    from growlab.worker.packing import MOST, Bench, Probe, choose_slots, next_spec

    kind = resolve_device(devices[0]).type
    if kind != "cuda":
        tell(f"--slots auto: 1, as the device is {kind}, which one trial keeps busy; --slots N asks for more")
        return 1
    most = min(MOST, -(-n_unfinished(store, row) // len(devices)))
    spec = next_spec(store, row, plugins) if most > 1 else None
    if spec is None:
        tell("--slots auto: 1, as there is no second trial to begin")
        return 1
    spec = with_moved(spec, moves_between(store.study(row.study.name).study, row.study) or {})
    tell(f"--slots auto: measuring on {devices[0]} with {spec.layout} …")
    threads = threads or max(1, n_cores() // (len(devices) * most))
    probe = Probe(spec=spec, device=devices[0], n_threads=threads, plugins=tuple(plugins), deterministic=deterministic)
    bench = Bench(probe)
    chosen = choose_slots(bench.rate_of, most)
    tell(f"{bench.summary()} → {chosen} slot{'s' if chosen > 1 else ''}")
    return chosen
