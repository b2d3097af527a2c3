"""What holds for every test."""

import gc

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what thousands of collected tests consist of out of every collection that a test asks for."""
    del session
    gc.collect()
    gc.freeze()
