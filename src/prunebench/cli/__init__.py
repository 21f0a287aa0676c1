"""The command line: click lives here and nowhere else. Commands are in `commands`, one file each.

Doors:
    start  the console script
"""
