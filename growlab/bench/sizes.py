"""What is measured, and how long, unless somebody says otherwise. Light: a help text quotes it."""

from collections.abc import Mapping, Sequence

N_TRIALS = 3  # of a study
ON_A_GPU = {"d_model": 192, "depth": 12, "batch_size": 64, "seq_len": 256, "steps": 40}
LENGTHS_ON_A_GPU, LENGTHS_ON_A_CPU = (256, 4096, 16384), (256, 1024, 4096)  # tokens of a sequence of a block alone
ON_A_CPU = {"d_model": 128, "depth": 4, "batch_size": 16, "seq_len": 128, "steps": 10}


def usual_sizes(device_type: str) -> Mapping[str, int]:
    """The sizes of a block kind's model, of its batches, and of a round of timed steps."""
    return ON_A_CPU if device_type == "cpu" else ON_A_GPU


def usual_lengths(device_type: str) -> tuple[Sequence[int], int]:
    """The lengths of a block alone, and the tokens of a batch of it."""
    return (LENGTHS_ON_A_CPU, 4096) if device_type == "cpu" else (LENGTHS_ON_A_GPU, 16384)
