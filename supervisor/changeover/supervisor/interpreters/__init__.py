"""Other interpreters than the supervisor's own: which one is wanted, and whether it can execute what serves."""
