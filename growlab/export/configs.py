"""The best trials of a study as configurations: what to train again, longer or elsewhere."""

from collections.abc import Sequence
from typing import Any

from growlab.errors import UnknownName
from growlab.escapes import json_text
from growlab.export.ranking import best_trials
from growlab.storage import Store, StudyRow
from growlab.study.column import trial_spec_to_mapping
from growlab.yaml_file import yaml_text

FORMATS = ("json", "yaml")


def best_configs(store: Store, study_row: StudyRow, top: int) -> list[dict[str, Any]]:
    """List the `top` best completed trials by the study's objective, fewer if there are fewer; plain JSON types.

    `layout` is the one that training ended with, in short form; `trial_spec` starts from the first one.
    Raises NotFound when no trial is completed.
    """
    return [
        {
            "rank": rank,
            "trial": trial.number,
            "layout": trial.layout_end,
            "val_loss": trial.val_loss,
            "bits_per_byte": trial.bits_per_byte,
            "trial_spec": trial_spec_to_mapping(trial.spec),
        }
        for rank, trial in enumerate(best_trials(store, study_row)[:top], start=1)
    ]


def render_configs(configs: Sequence[dict[str, Any]], format: str) -> str:
    """Write configs as text that ends in a newline. Raises UnknownName for a format that is neither yaml nor json."""
    if format == "json":
        return json_text(list(configs), indent=2) + "\n"
    if format == "yaml":
        return yaml_text(list(configs))
    raise UnknownName("format", format, FORMATS)
