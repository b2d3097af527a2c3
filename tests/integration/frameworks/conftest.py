"""Each shop is served once, for all that is claimed of it."""

from collections.abc import Iterator

import pytest

from tests.integration.frameworks.shops import SHOPS, Site


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The shop of the name that a claim is parametrised with, served."""
    with Site(SHOPS[request.param], tmp_path_factory.mktemp(request.param)) as served:
        yield served
