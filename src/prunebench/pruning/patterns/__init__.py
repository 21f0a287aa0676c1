"""Patterns, one kind a file: which single weights go together, or compete with each other."""
