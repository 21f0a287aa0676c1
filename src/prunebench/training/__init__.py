"""Training: fit and evaluate, and how a fit goes on where it was stopped.

Doors:
    fit       fit, evaluate: plain functions over a model and a task
    progress  the place where a fit stands
    resume    a step that is not finished, on disk
    device    where it is computed
"""
