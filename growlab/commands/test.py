"""growlab test"""

from typing import Annotated

import typer

from growlab import api
from growlab.commands.options import Artifacts, Device, Json, Paths, Plugin, Storage, StudyName, say
from growlab.defaults import STORAGE_DEFAULT


def on_test_split(
    study: StudyName,
    trial: Annotated[int, typer.Option(min=0, help="The number of a completed trial.")],
    storage: Storage = STORAGE_DEFAULT,
    artifacts: Artifacts = None,
    device: Device = "auto",
    set_: Paths = None,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Compute the loss of a trial's final model on the test split: once, on record; the second time it is read back.

    Nothing that chooses, no search, trigger or ranking, ever reads that split. Choose first, then test.
    """
    import json
    from dataclasses import asdict

    from growlab import amounts

    found = api.held_out(
        study,
        trial,
        storage=storage,
        artifacts=artifacts,
        device=device,
        paths=set_ or [],
        plugins=plugin or [],
        tell=say,
    )
    if as_json:
        print(json.dumps(asdict(found), indent=2))
    else:
        for name, value in found.values.items():
            if value is not None:
                print(f"test_{name}\t{value!r}")
    when, val_loss = f"{amounts.moment(found.read_at)} UTC", amounts.loss(found.val_loss)
    if found.is_first:
        say(f"the test split is read for trial {trial} of {study}, val_loss {val_loss}: on record since {when}")
    else:
        say(
            f"the test split was read for trial {trial} of {study}, val_loss {val_loss}, at {when}: that is shown again"
        )
