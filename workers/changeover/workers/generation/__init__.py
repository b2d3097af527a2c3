"""Generations inside a worker: the commit cell, the switch between two of them, building, draining."""
