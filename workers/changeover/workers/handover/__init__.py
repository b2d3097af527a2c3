"""Passing open connections to other workers: who leaves sends, who stays receives."""
