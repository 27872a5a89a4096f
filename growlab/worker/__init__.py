"""A worker: two processes, so that a stalled interpreter or a crashed GPU cannot lose a lease.

supervisor   no torch: claims, beats, reaps, releases; `serve` is the loop
trainer      the child: proposes and trains, stays warm over many trials
messages     what they say to one another
display      what a person sees
"""
