"""Data: what a model is trained and tested on. Loaders are in `datasets`, one file each.

Doors:
    dataset  Dataset, and the registry of loaders
    task     Task: what training and evaluation ask of data
    images   the task of images
    survey   image files are opened before anything is trained, and how they are read
    text     the task of sentences
"""
