"""Runs: what is kept on disk, found again, and shown of it. Knows no torch.

Doors:
    run              Run: a directory with a record and a checkpoint per step
    snapshot         a run as it was when it was first looked at
    manifest         run.json: what a run is
    files            bytes on disk: atomic, durable, digested
    background       work that a thread does while the caller goes on
    digests          digests of data files, read again only where they changed
    user_files       the user's files that decide a run
    trust            whether code that a run names may be imported
    mistaken         what a file is that is taken for data or weights
    lock             one process at a time computes a run
    index            what runs are called, and which there are
    apart            what tells runs apart: their data, and the settings in which they differ
    selection        the runs that a key, a folder or a filter names
    overview         runs in a line each
    commands         the commands that repeat runs
    environment      what of this machine stands beside every figure
    launcher         how many processes torchrun has begun
    processors       what the CPU is called, and what it can do
    reproducibility  what of a machine decides results to the bit
"""
