"""Training: fit and evaluate, and how a fit goes on where it was stopped.

Doors:
    fit     fit, evaluate: plain functions over a model and a task
    optimizers  the recipe of a training
    policies  the registry of ways of retraining; `retraining` has them, one file each
    state   StepState: a step that is not finished
    device  where it is computed
    distributed  one fit or evaluation by several processes, a device each
    determinism  which layer has no deterministic kernel
"""
