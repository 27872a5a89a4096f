"""When to grow: one file for each trigger. To import this package fills TRIGGERS, and loads no torch."""

from growlab.growth.triggers import at, corrected, never, probe, slope, stagnation  # noqa: F401  (they register themselves)
