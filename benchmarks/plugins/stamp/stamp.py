"""Leaves for the application what only the worker knows of a request."""

from changeover.plugin import CallContext, Request


def stamp(request: Request, call: CallContext) -> None:
    """Put epoch, slot and start into the extensions."""
    call.extensions["stamp"] = (call.epoch, call.worker, call.started)
