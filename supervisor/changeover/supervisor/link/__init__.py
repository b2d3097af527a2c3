"""The wire between supervisor and workers, as the supervisor sees it."""
