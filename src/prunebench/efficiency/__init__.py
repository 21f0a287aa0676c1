"""Efficiency: what a pruned model gains on a clock."""
