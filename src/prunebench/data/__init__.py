"""Data: what a model is trained and tested on. Loaders are in `datasets`, one file each.

Doors:
    dataset         Dataset, and the registry of loaders
    checking        what a loader returns can be trained on
    task            Task: what training and evaluation ask of data
    images          the task of images
    classification  labels, what is asked of an output, and what is counted of it
    survey          image files are opened before anything is trained, and how they are read
    repeated        samples that are in several parts, or have several labels
    text            the task of sentences
"""
