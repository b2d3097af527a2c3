"""REST over `control.sock`: what operators ask of a running supervisor, and what it tells them.

Served by a library server, so that a fault in our own data plane never locks the operator out.
"""
