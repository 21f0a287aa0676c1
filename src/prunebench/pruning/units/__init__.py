"""Units: what can only be removed together, found by following data, removed as data, and proved on the very model.

    find     from a model and example inputs to groups of units
    remove   units go, and what is left is described by sizes
    restore  a full model gets the sizes of a pruned one
    prove    pruned equals masked, trains, is saved and loaded, and is pruned again; `sifting` tries which groups can go
             together and what must follow, `trial` removes and compares

A unit's *poison* is followed through the operations of one recorded forward pass (`record`, `follow`), as a word of
bits per element (`words`): which bits are set says which output channel of an operation with weights gets where.
"""
