"""Comparing: figures over seeds, verdicts with intervals, and which runs belong side by side."""
