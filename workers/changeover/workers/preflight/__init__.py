"""The process that rehearses a candidate before any worker is asked."""
