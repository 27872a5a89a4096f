"""A stored study as pandas frames: what notebooks get, and what figures are drawn from.

columns.py   the columns of each frame, with types and meanings: docs/notebooks.md lists them, a test compares
making.py    a frame from rows and columns
study_tables.py  a study, whose tables are read as they are asked for; summary.py: what a cell shows of it
stacks.py    a layout's blocks over its growths
reading.py   each frame of a study, from its database
"""
