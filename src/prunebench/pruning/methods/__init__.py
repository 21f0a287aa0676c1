"""Pruning methods, one file each, and in `criteria` what decides which weights go first."""
