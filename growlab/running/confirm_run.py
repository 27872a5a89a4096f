"""The best trials of a study again on fresh seeds, until these have ended."""

from growlab.errors import GrowlabError
from growlab.preparation.confirming import find_or_confirm
from growlab.preparation.remaining import n_unfinished
from growlab.report.confirmation import Confirmation, read_confirmation
from growlab.running.devices import devices_for
from growlab.running.patience import telling_patience
from growlab.running.study_run import Workers, train_rest
from growlab.running.work import Follower
from growlab.storage import Store


def confirm_study(study: str, *, top: int, seeds: int, workers: Workers, follower: Follower) -> Confirmation:
    """Train the `top` trials of a study on so many fresh seeds, or what is left of them, and rank them by the mean.

    Raises NotFound for no such study and for one of which nothing completed, UsageError where other trials are being
    confirmed, GrowlabError when all workers failed or left something undone, KeyboardInterrupt after a stop.
    """
    tell, devices = follower.tell, devices_for(workers.device, workers.workers)
    with Store.open(workers.storage, patience=telling_patience(workers.patience_s, tell)) as store:
        searched = store.study(study)
        confirming = find_or_confirm(store, searched, top, seeds, tell)
        if n_unfinished(store, confirming) > 0:
            options = ["--top", top, "--seeds", seeds]
            again = train_rest(
                store, confirming, workers, devices, follower, verb="study confirm", study=study, options=options
            )
            if (n := n_unfinished(store, confirming)) > 0:
                raise GrowlabError(f"{n} trial(s) are not finished; go on with: {again}")
        return read_confirmation(store, searched, confirming)
