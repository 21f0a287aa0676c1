"""Studies: grids of runs, and searches. Places of work are in `executors`, one file each.

Doors:
    file       a study's file, read
    study      a grid of runs, laid out
    record     what a study's folder says of it
    jobs       its runs as work that any process can do
    executors  the registry of places of work
    estimates  what a study will take
    trial      a few batches tried, to tell how long it takes
    timing     what a study has pruned, timed
    search     prune until goals are met
    stopping   whether a search has ended
"""
