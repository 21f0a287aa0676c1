"""Comparison: which of two groups of runs is better, and how sure that is.

Doors:
    matching  which groups belong side by side
    verdicts  which of two is better
    tables    verdicts for the terminal
    family    the comparisons that a study has fixed
    board     the criteria of each model and budget in order
    board_tables  boards as text and Markdown
"""
