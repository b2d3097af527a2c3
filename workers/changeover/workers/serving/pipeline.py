"""Handlers folded around what answers, immutable once built."""


class Pipeline:
    """Inbound and outbound chains around a service or an application."""
