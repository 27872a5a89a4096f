"""What `growlab doctor` looks at. A check is a generator of findings; it changes nothing.

checkup.py    all checks, one after the other
findings.py   what a check says, and what is said for a check that fails itself
versions.py   Python and the packages
devices.py    CPU, GPUs: a small matrix product on each
storage.py    the database and its schema; remedies.py: what to do when it does not answer
folders.py    artifacts and cache: may files be made there, is there room
data.py       the corpora that have a name; the corpus of one study

Packages are imported inside the checks: one that is missing or broken is a finding.
"""
