"""What growlab takes where a user says nothing, and more than one room must know."""

STORAGE_DEFAULT = "sqlite:///growlab.db"  # where a command looks that names no database
USUAL_PATIENCE_S = 900.0  # that a worker waits for a database that is away
