"""A trial as one program: a whole text of any length, in batches of any size, to logits.

trial_folder  the whole folder of a trial, checked before it appears
formats       ONNX and torch.export's own: how each is written, read back and used
recording     the program of a model, or which of its kinds cannot be one
checking      read back as a stranger would, has it the logits of the trained model?
survey        every kind in every format, as the table of docs/export.md
"""
