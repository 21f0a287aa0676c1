"""Experiment: one config becomes one run.

Doors:
    resolve    fills a RunConfig; which dense run it makes, and which it starts from
    identity   which run prunes or times by a config, and what of it is there
    goals      bounds on costs and accuracy
    plan       what a run will do, in a few lines
    weights    where a run starts from
    setup      what every step of one run needs
    loop       train, prune
    untrained  a schedule without training
    verify     a run computed anew from its files, and compared
"""
