"""What is measured, and how long, unless somebody says otherwise. Light: a help text quotes it."""

from collections.abc import Mapping

N_TRIALS = 3  # of a study
ON_A_GPU = {"d_model": 192, "depth": 12, "batch_size": 64, "seq_len": 256, "steps": 40}
ON_A_CPU = {"d_model": 128, "depth": 4, "batch_size": 16, "seq_len": 128, "steps": 10}


def usual_sizes(device_type: str) -> Mapping[str, int]:
    """The sizes of a block kind's model, of its batches, and of a round of timed steps."""
    return ON_A_CPU if device_type == "cpu" else ON_A_GPU
