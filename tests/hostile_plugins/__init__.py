"""Plugins that mean harm, or are broken in every way that came to mind: what a server is offered and has to refuse."""
