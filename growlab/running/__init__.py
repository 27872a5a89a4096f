"""Workers on this machine that train a study: where, how many, started, followed to their end.

devices.py     the device and the threads of each worker
slots.py       how many workers a device is to have, measured
crew.py        workers that are to be started, and starting them
following.py   which trials end, as long as the workers run
patience.py    waiting for a database that is away, and telling so
outcome.py     how a study stands when they have left, and what to do next
work.py        all of it, from their start until they have left
study_run.py   a study from its file or name to how it stands then
confirm_run.py  the best trials of a study again on fresh seeds
slot_run.py    several workers that serve a stored study
training_again.py  an exported configuration trained again
run.py         workers as one object, which a notebook waits for or stops

Nothing is printed here.
"""
