"""A language model from a layout.

causal_model     what it computes of a whole text and step by step: embedding, units of blocks, norm, tied head
language_model   that model built from a layout; can be trained and grow
cost             parameters, FLOPs and memory of a layout, without building it
decoding         sampling text with carried state
streaming        tokens as text: whole characters, up to a stop string
conversation     turns of question and answer
"""
