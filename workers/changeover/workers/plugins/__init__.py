"""Plugins inside a worker: artifacts, isolated modules, the lifecycle, hooks, the public base class."""
