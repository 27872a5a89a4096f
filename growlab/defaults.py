"""What growlab takes where a user says nothing, and more than one room must know."""

STORAGE_DEFAULT = "sqlite:///growlab.db"  # where a command looks that names no database
USUAL_PATIENCE_S = 900.0  # that a worker waits for a database that is away
LEASE_S = 60.0  # a worker that is silent for so long loses its trial to another
LOCAL_LEASE_S = 30.0  # of workers that one process starts on its machine, where one is rarely silent for no reason
CHECKPOINT_EVERY_S = 5.0  # between two checkpoints of a trial, at least
USUAL_MARGIN = 0.01  # nats per token, or bits per byte: differences within it are called equal
FIRST_STUDY_MINUTES = 10.0  # that the study of growlab init runs on the machine that it is written for
