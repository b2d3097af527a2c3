"""Connections of a worker, whatever is spoken over them: opened, owned, swept, parted from."""
