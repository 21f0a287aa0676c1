"""Plots: pictures of runs, studies and matrices. Figures are in `figures`, one file each.

Doors:
    sources  what paths hold that can be drawn
    drawing  figures as files
"""
