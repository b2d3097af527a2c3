"""A mixed load of HTTP/1.1 connections, each of which can tell how it ended.

Runs in a process of its own (`python -m benchmarks.load`), so that it never shares a loop with what
it measures; `process` starts it. It speaks HTTP without a library, because a library hides what
is counted here: an EOF between two requests, one before the answer, one inside it, a reset.
"""
