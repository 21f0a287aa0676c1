"""Tracking: what a run comes to, told to trackers as it happens. They are in `trackers`, one file each. Knows no torch.

Doors:
    trackers  the registry of trackers
    telling   one run's trackers: what they were told, and what they are told next
"""
