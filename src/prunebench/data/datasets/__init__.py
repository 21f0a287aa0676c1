"""Datasets, one file each; importing one is cheap, loading it reads or downloads the data."""
