"""Results: records as matrices, tables and curves. Knows no torch.

Doors:
    amounts         what was asked to go, in words and in names of files
    matrices        the text matrices
    matrix_files    folders of text matrices, read back as curves, counts and times
    curves          runs as columns over what is left
    layers          what each layer had and has left
    settings        what decides runs, and what their models, data and criteria are called
    old_names       records as JSON with the names of before
    tables          tables for the terminal
    sensitivity     what each layer's pruning loses, layers by shares
    damage          what a pruned model lost, by class, by kind of sample and by sample
    damage_tables   the same as text
    latency_tables  tables of what was timed
"""
