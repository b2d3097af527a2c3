"""From files and settings to candidates: scan, store, compare."""
