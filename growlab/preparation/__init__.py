"""From a file, a name or an exported trial to a study that is stored and whose texts are found here.

sources.py        a study's file, a shipped study or a stored one: which of them a word means, and reading it
checking.py       a study against kinds, operators and its corpus, whose hash is written in
corpus_notes.py   what of the corpus is not read, and how often the rest is
storing.py        a study of a database by its name or its file: found, or created
differences.py    in which keys a stored study is not the one of a file
texts.py          where the texts of a stored study lie on this machine
places.py         folders that follow from where the database is
command_lines.py  options by which another process finds the same database, files, plugins and texts
confirming.py     the winners of a study on fresh seeds, as a study of their own
adding.py         a trial by hand, results from elsewhere, the best of another study: into a search
transferring.py   what a new study takes over from another one
results_file.py   those results, from a table
learning.py       what a stored study has learnt, and what it would try next
extents.py        how large the space of a study is
simulating.py     a study as it is to be simulated, and the vocabulary of its text
again.py          an exported trial as a study of one
replaying.py      every proposal of a stored study made again, and compared with its row
telling.py        who hears what a person may want to know

Nothing is printed here.
"""
