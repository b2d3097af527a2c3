"""Plugins to rehearse, where every user may read them."""

from collections.abc import Iterator

import pytest

from tests.namespaces import open_folder
from tests.rehearsing import Orders


@pytest.fixture
def orders() -> Iterator[Orders]:
    """Orders of plugins in a folder of their own."""
    with open_folder() as folder:
        yield Orders(folder)
