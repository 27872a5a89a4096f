"""Two studies of one trial each, line by line: losses at every evaluation, then growth.

python benchmarks/gpu/side_by_side.py STUDY STUDY [--within 1e-4]

Reads GROWLAB_STORAGE. Exit code 1 when losses lie further apart than --within, or growth differs.
"""

import argparse
import os

from growlab.records import GrowthEvent
from growlab.storage import Store


def losses_of(store: Store, study: str) -> dict[int, tuple[float, float]]:
    """Step to the training loss since the row before, and the validation loss, at every evaluation."""
    trial = store.trial(store.study(study).id, 0)
    train, val = (
        {each.step: each.value for each in store.metrics(trial.id, split, "loss")} for split in ("train", "val")
    )
    return {step: (train[step], val[step]) for step in val}


def growths_of(store: Store, study: str) -> list[GrowthEvent]:
    return store.growth_events(store.trial(store.study(study).id, 0).id)


def in_words(event: GrowthEvent) -> str:
    return (
        f"step {event.step}: {event.unit} at {event.position} by {event.operator}, depth {event.depth_before} → "
        f"{event.depth_after}, τ {event.tau:.4f}, κ {event.kappa:.4f}, "
        f"val_loss {event.val_loss_before:.5f} → {event.val_loss_after:.5f}"
    )


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("studies", nargs=2, metavar="STUDY")
    arguments.add_argument("--within", type=float, default=float("inf"))
    given = arguments.parse_args()
    one, other = given.studies
    with Store.open(os.environ["GROWLAB_STORAGE"]) as store:
        left, right = losses_of(store, one), losses_of(store, other)
        growths = [growths_of(store, study) for study in given.studies]
    columns = "  ".join(f"{split + ': ' + one:>22}  {other:>16}  {'apart':>8}" for split in ("train", "val"))
    print(f"\n{'step':>5}  {columns}")
    furthest = 0.0
    for step in sorted(left.keys() | right.keys()):
        (train, val), (train_there, val_there) = left[step], right[step]
        apart = abs(train - train_there), abs(val - val_there)
        furthest = max(furthest, *apart)
        print(
            f"{step:>5}  {train:>22.6f}  {train_there:>16.6f}  {apart[0]:>8.1e}  "
            f"{val:>22.6f}  {val_there:>16.6f}  {apart[1]:>8.1e}"
        )
    for study, events in zip(given.studies, growths, strict=True):
        print(f"{study}: {len(events)} growth(s)", *map(in_words, events), sep="\n  ")
    decisions = [[(each.step, each.position, each.unit, each.operator) for each in events] for events in growths]
    print(f"losses at most {furthest:.1e} apart; growth {'the same' if decisions[0] == decisions[1] else 'DIFFERENT'}")
    return int(furthest > given.within or decisions[0] != decisions[1])


if __name__ == "__main__":
    raise SystemExit(main())
