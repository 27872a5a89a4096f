"""Studies and trials, for a person at a terminal or a program at the end of a pipe. Knows no torch.

leaderboard   which trial is best: rows in order
columns       what a row holds, and every column of it, for terminals and programs
overfitting   since when a trial learns its training text by heart
front         who is on the front, for a program
formats       those rows as a table, TSV, CSV or JSON
groups        trials by one of their values: means, and differences on the same seeds
group_table   those as a table, TSV, CSV or JSON
confirmation  winners on fresh seeds, and what the search had claimed
trial_values  the values of a trial by their keys
table         the table that people read
terminal_table  a table of any rows: its columns, as many as there is room for
title         the line above it
pace          finished trials per hour, and how many ran at once
live          the same while the study runs
trial_page    one trial in full
trial_rungs   a table of that page: what it came to at rungs or marks
trial_facts   everything that is stored of one trial, and as JSON
extent        how large a study's space is
why           which changes help, which parts matter, what would be tried next
curve         losses over tokens, drawn with characters
sparkline     a row of numbers in a row of characters
terminal      a console that cuts nothing and interprets nothing
json_values   values as JSON can hold them

rich and plotille are imported where they are used: importing a module of this room costs nothing.
"""
