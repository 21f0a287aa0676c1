"""The command line: click lives here and nowhere else. Commands are in `commands`, one file each.

Doors:
    main  the console script
"""
