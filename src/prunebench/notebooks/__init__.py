"""Notebooks: records, runs and folders of runs as they are looked at from Python: as tables, pictures and data frames.

Doors:
    runs   Runs: the runs of a folder, or those that a filter names
"""
