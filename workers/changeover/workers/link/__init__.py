"""The wire between supervisor and worker, as the worker sees it."""
