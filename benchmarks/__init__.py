"""Commands that show what the project promises in figures: `python -m benchmarks`, or one by name.

Each prints a table and its verdicts, and writes what it measured to `docs/figures/`.
"""
