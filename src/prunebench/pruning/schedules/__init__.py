"""Schedules, one a file: how what is gone grows from iteration to iteration."""
