"""Replaces the supervisor's own program in the process that it has, while workers serve."""
