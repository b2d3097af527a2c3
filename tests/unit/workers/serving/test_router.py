"""Which route takes a request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.workers.protocol.snapshot import Route
from changeover.workers.serving.contract import Headers, Request
from changeover.workers.serving.lease import UnitSet
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.router import EMPTY_ROUTER, Miss, Router, Target


def router(*routes: Route) -> Router:
    return Router([Target(route, Pipeline(route.pipeline), UnitSet(())) for route in routes])


def request(path: str, host: str = "any.example") -> Request:
    return Request("GET", path, headers=Headers([(b"host", host.encode())]))


def winner(table: Router, path: str, host: str = "any.example") -> str | Miss:
    found = table.match(request(path, host))
    return found if isinstance(found, Miss) else found.pipeline.name


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "all"),
        ("/prices", "prices"),
        ("/prices/", "prices"),
        ("/prices/a/b", "prices"),
        ("/pricesx", "all"),
        ("/prices/admin/x", "admin"),
        ("/prices/administration", "prices"),
        ("*", "all"),
        ("", "all"),
    ],
)
def test_the_longest_path_wins_on_a_boundary_between_segments(path: str, expected: str) -> None:
    table = router(Route("admin", "/prices/admin"), Route("all"), Route("prices", "/prices/"))
    assert winner(table, path) == expected


def test_among_equal_paths_the_host_decides() -> None:
    table = router(Route("any", "/a"), Route("shop", "/a", host="shop.example"), Route("root", host="shop.example"))
    assert winner(table, "/a", "shop.example:8000") == "shop"
    assert winner(table, "/a", "SHOP.example") == "shop"
    assert winner(table, "/a", "other.example") == "any"
    assert winner(table, "/b", "shop.example") == "root"
    assert winner(table, "/b", "other.example") is Miss.NOT_FOUND


def test_a_longer_path_without_a_host_wins_over_a_shorter_one_with_it() -> None:
    table = router(Route("root", host="shop.example"), Route("mount", "/prices"))
    assert winner(table, "/prices", "shop.example") == "mount"


def test_a_host_may_be_an_address() -> None:
    table = router(Route("six", host="[::1]"))
    assert winner(table, "/", "[::1]:8000") == "six"


def test_without_routes_there_is_nothing_to_find() -> None:
    assert EMPTY_ROUTER.match(request("/")) is Miss.EMPTY
    assert router(Route("a", "/a")).match(request("/")) is Miss.NOT_FOUND


def test_a_mount_is_stripped_into_the_root_path() -> None:
    target = router(Route("prices", "/prices", mounted=True)).targets[0]
    asked = request("/prices/a")
    target.strip(asked)
    assert (asked.root_path, asked.path, asked.raw_path) == ("/prices", "/a", b"/prices/a")
    asked = request("/prices")
    target.strip(asked)
    assert (asked.root_path, asked.path) == ("/prices", "/")


def test_an_unmounted_route_leaves_the_path() -> None:
    asked = request("/prices/a")
    router(Route("prices", "/prices")).targets[0].strip(asked)
    assert (asked.root_path, asked.path) == ("", "/prices/a")


segments = st.lists(st.sampled_from(["a", "b", "ab", ""]), max_size=5)
paths = segments.map(lambda parts: "/" + "/".join(parts))


@given(st.sets(paths, min_size=1), paths)
def test_the_table_agrees_with_trying_every_route(routes: set[str], path: str) -> None:
    table = router(*(Route(route, route) for route in sorted(routes)))

    def covers(prefix: str) -> bool:
        prefix = prefix.rstrip("/")
        return path == prefix or path.startswith(prefix + "/")

    expected = max((len(route.rstrip("/")) for route in routes if covers(route)), default=None)
    found = table.match(request(path))
    assert (None if isinstance(found, Miss) else len(found.route.path.rstrip("/"))) == expected
