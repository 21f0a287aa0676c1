"""Pruning: what goes, how much, and in which order. Entries are in `methods`, `criteria`,
`scopes` and `schedules`, one file each.

Doors:
    registry     the registries of methods and criteria, and what passes between them and the loop
    requests     what settings ask a method to prune
    amounts      how much goes in a step, and the registry of schedules
    shares       the registry of scopes: how what goes is spread over layers
    granularity  the registry of patterns: which single weights go together, or compete
    turns        tensors that are pruned one after the other, and criteria that solve
    methods      unstructured, structured, depth, none
    multiplied   the parameters that are multiplied with data
    evidence     what criteria ask for that takes data, or tells of whole units
    blocks       residual blocks, found and proved
    units        what can only be removed together, found and proved
"""
