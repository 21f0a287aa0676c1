"""Latency: models timed beside each other. Backends are in `backends`, one file each.

Doors:
    backends    the registry of backends
    config      EfficiencyConfig: how to time
    timing      a run's steps timed, or an untrained architecture's
    steps       which steps are timed
    onnx_files  exported files, timed where there is no torch
"""
