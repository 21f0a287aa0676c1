"""Criteria, one idea a file, used by every method."""
