"""Report: one interactive page about runs.

Doors:
    sources   what a path holds that a report is about
    document  everything that the page shows, as one value
    page      the page around it
"""
