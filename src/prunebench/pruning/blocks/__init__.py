"""Blocks: residual blocks, found by watching the model run, left out as data, and proved on the very model.

    find       from a model and example inputs to blocks
    influence  how much a block changes what passes through it
    proof      the model without blocks equals the one whose branches are at zero, trains, comes back to the bit

A *block* is a module that runs once in a pass, gives what it is given alike in shape and dtype, and adds its input, as
it is, to something: without its branches it is the identity. Of modules in one another the outermost counts that holds
no two others side by side, so that a layer of a transformer is one block, and a stage of several is none.

With all of its parameters at zero a block gives its input to the bit; there the removal is masking. Where something
follows the sum that would not survive that (BERT's norms), its parameters of two and more dimensions alone are put to
zero; what it then gives must still tell its input. Its removal takes the norm along, and hands its input on.
"""
