"""How fast this machine trains: `growlab bench`, and the times of `growlab study preview`.

benchmark.py  kinds, layouts or trials, from the command's options to a report
sizes.py      how large what is measured is, unless somebody says otherwise; alone without torch
subjects.py   what is measured: a layout of each block kind, layouts that are given, the first trials of a study
machine.py    device and versions that the figures belong to
roofline.py   what the device can do at best: FLOP/s of a large product, bytes/s of a large copy
measure.py    real training steps and evaluations, timed
passes.py     both passes of a block alone, timed
block_survey.py   one block after another at several lengths, by its kernels and by its definitions
block_rows.py     the figures of a block
survey.py     one subject after another, each a row; one that does not fit into memory says so
rows.py       the figures of a subject, and what follows from them without measuring
estimate.py   what the trials of a study would cost, before anything is spent
table.py      rows for a person (tables) or a program (TSV, JSON)
"""
