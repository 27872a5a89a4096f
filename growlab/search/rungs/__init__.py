"""Which paused trial trains on, and what the readings of trials at their rungs say of where they would end."""
