"""Every kind reads, learns and decodes in the shapes that its functions name: this file's tests check them."""


def test_every_kind_keeps_to_the_shapes_that_it_names(spec, block_of, tokens):
    block, x_BTD = block_of(spec), tokens(2, 19)

    y_BTD, _ = block.forward_with_penalty(x_BTD)
    state = block.initial_state(2)
    for part_BTD in x_BTD.split((11, 1, 7), dim=1):
        read_BTD, state = block.advance(part_BTD, state)
        block.mixer.absorb(part_BTD, state)

    assert y_BTD.shape == block(x_BTD).shape == x_BTD.shape
    assert read_BTD.shape == (2, 7, 32)
    assert all(value.shape == () for value in block.mixer.metrics(x_BTD).values())
