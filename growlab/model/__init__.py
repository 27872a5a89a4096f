"""A language model from a layout.

language_model   embedding, units of blocks, norm, tied head; can grow
cost             parameters, FLOPs and memory of a layout, without building it
decoding         sampling text with carried state
streaming        tokens as text: whole characters, up to a stop string
conversation     turns of question and answer
"""
