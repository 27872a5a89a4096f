"""A model of the objective over layouts and scalars together, and what it would try next. NumPy alone, no torch.

- encoding: what the model sees of a configuration: blocks at places, counts, numbers
- kernel: how alike two configurations are
- gaussian_process: what is expected of one, and how sure that is; how much each part of it matters
- outlook: all of that for the past of a study: the trials that it rests on, failures, running ones
- transfer: what another study found, as a shape that an outlook begins with
- candidates: configurations worth asking about
- choice: which of them to try
- explaining: which parts of a configuration matter, and what a change of each does
- suggesting: from a past to a suggestion, which is what a sampler asks
"""
