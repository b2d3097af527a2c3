"""The IO shell of a worker process."""
