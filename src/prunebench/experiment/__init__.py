"""Experiment: one config becomes one run.

Doors:
    resolve      RunConfig → Experiment, the one door; the runs that it makes
    experiment   what will be done: a resolved config
    controls     what a run is held against: the same of which nothing goes
    checks       settings that do not go together, or are of no use, are refused
    identity     what decides a run's key
    existing     what of an experiment is there already
    goals        bounds on costs and scores
    plan         what a run will do, in a few lines
    data         the task of an experiment
    usable       what can be checked of the data without the model
    starts       where a run starts from
    loop         train, prune
    tracked      trackers told of runs that are finished
    elsewhere    settings of which any process makes the same experiment
    team         the processes that compute one run together, a device each
    following    what all of them but the first do
    given        weights as they are, scored without a run
    untrained    a schedule without training
    pace         how long batches and steps take, by a few of them
    inspection   what of a model can be pruned, without data
    sensitivity  each layer pruned alone, scored without training
    damage       what two models answer sample by sample, computed from their checkpoints
    damages      the same as it is kept
    findings     what the structure of a model decides, found once per process
    verify       a run computed anew from its files, and compared
"""
