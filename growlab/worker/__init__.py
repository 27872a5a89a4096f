"""A worker: two processes, so that a stalled interpreter or a crashed GPU cannot lose a lease.

supervisor   no torch: claims, beats, reaps, releases; `serve` is the loop
trainer      the child: proposes and trains, stays warm over many trials
messages     what they say to one another
keeping      the checkpoints of trials that wait at rungs, and which of them go
causes       of an error: is the trial to blame
packing      how many workers one device is best shared by
signals      what asks a worker to stop
display      what a person sees
"""
