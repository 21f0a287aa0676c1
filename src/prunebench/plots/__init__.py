"""Plots: pictures of runs, studies and matrices. Figures are in `figures`, one file each.

Doors:
    registry     the figures that can be drawn
    sources      what paths hold that can be drawn
    drawing      figures as files
    inspection   layers of a model before and after a step
    sensitivity  what is lost where each layer is pruned alone
    style        what every picture looks like
    themes       colours for light and for dark paper
"""
