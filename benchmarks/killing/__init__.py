"""A service whose processes are killed, at chosen moments or at random, and what must hold all the same."""
