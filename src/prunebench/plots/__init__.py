"""Plots: pictures of runs, studies and matrices. Figures are in `figures`, one file each.

Doors:
    material  what paths hold that can be drawn
    drawing   figures as files
"""
