"""Which route takes a request."""

from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.workers.protocol.matching import ambiguous, specificity
from changeover.workers.protocol.snapshot import Route
from changeover.workers.serving.contract import CallContext, Headers, Request, Response
from changeover.workers.serving.handlers import Handler, HandlerKind, preflight
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.lease import UnitSet
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.router import EMPTY_ROUTER, ApplicationRouter, MatchOutcome, Mismatch, Target


def router(*routes: Route) -> ApplicationRouter:
    return ApplicationRouter([Target(route, Pipeline(route.pipeline), UnitSet(())) for route in routes])


def request(path: str, host: str = "any.example", method: str = "GET", *fields: tuple[bytes, bytes]) -> Request:
    return Request(method, path, headers=Headers([(b"host", host.encode()), *fields]))


def name_of(found: Target | Mismatch) -> str | MatchOutcome:
    return found.outcome if isinstance(found, Mismatch) else found.pipeline.name


def winner(table: ApplicationRouter, path: str, host: str = "any.example", method: str = "GET") -> str | MatchOutcome:
    return name_of(table.match(request(path, host, method)))


class Came:
    """A way on which requests come; what is known of its connection is counted.

    Args:
        label: As a rule of a channel gives it.
    """

    def __init__(self, label: str = "") -> None:
        self.looked_at = 0
        self._outcome = HandshakeOutcome(label=label)

    @property
    def outcome(self) -> HandshakeOutcome:
        self.looked_at += 1
        return self._outcome


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
    assert winner(table, "/b", "other.example") is MatchOutcome.NOT_FOUND


def test_a_longer_path_without_a_host_wins_over_a_shorter_one_with_it() -> None:
    table = router(Route("root", host="shop.example"), Route("mount", "/prices"))
    assert winner(table, "/prices", "shop.example") == "mount"


def test_a_host_may_be_an_address() -> None:
    table = router(Route("six", host="[::1]"))
    assert winner(table, "/", "[::1]:8000") == "six"


def test_without_routes_there_is_nothing_to_find() -> None:
    assert winner(EMPTY_ROUTER, "/") is MatchOutcome.EMPTY
    assert winner(router(Route("a", "/a")), "/") is MatchOutcome.NOT_FOUND


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
    assert (None if isinstance(found, Mismatch) else len(found.route.path.rstrip("/"))) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "root"),
        ("/api", "itself"),
        ("/api/", "below"),
        ("/api/a", "below"),
        ("/api/health", "health"),
        ("/api/health/", "below"),
        ("/apis", "all"),
        ("/docs", "slash"),
        ("/docs/", "exact slash"),
        ("*", "all"),
    ],
)
def test_a_path_can_mean_only_itself_or_only_what_is_below_it(path: str, expected: str) -> None:
    table = router(
        Route("all"), Route("root", "=/"), Route("itself", "/api"), Route("below", "/api/*"),
        Route("health", "=/api/health"), Route("slash", "/docs"), Route("exact slash", "=/docs/"),
    )  # fmt: skip
    assert winner(table, path) == expected


def test_a_wildcard_takes_every_name_below_a_domain_and_the_longer_one_wins() -> None:
    table = router(
        Route("shop", host="shop.example"), Route("below", host="*.shop.example"), Route("eu", host="*.eu.shop.example")
    )
    assert winner(table, "/", "shop.example") == "shop"
    assert winner(table, "/", "a.shop.example:443") == "below"
    assert winner(table, "/", "a.b.shop.example") == "below"
    assert winner(table, "/", "a.eu.shop.example") == "eu"
    assert winner(table, "/", "eu.shop.example") == "below"
    assert winner(table, "/", "ashop.example") is MatchOutcome.HOST_UNKNOWN


@pytest.mark.parametrize("routes", [(Route("a", "/a", "a.example"),), (Route("a", "/a", "*.a.example"),)])
def test_a_host_that_no_route_names_is_unknown_unless_some_route_takes_every_host(routes: tuple[Route, ...]) -> None:
    assert winner(router(*routes), "/a", "b.example") is MatchOutcome.HOST_UNKNOWN
    assert winner(router(*routes, Route("b", "/b")), "/a", "b.example") is MatchOutcome.NOT_FOUND


def test_a_method_that_no_route_takes_is_answered_with_those_that_are_taken() -> None:
    table = router(Route("read", "/a", methods=("GET",)), Route("write", "/a", methods=("POST", "PUT")))
    assert [winner(table, "/a", method=method) for method in ("GET", "HEAD", "PUT")] == ["read", "read", "write"]
    refused = table.match(request("/a", method="DELETE"))
    assert refused == Mismatch(MatchOutcome.METHOD_NOT_ALLOWED, ("GET", "HEAD", "POST", "PUT"))
    assert winner(table, "/b", method="DELETE") is MatchOutcome.NOT_FOUND


def test_what_a_specific_route_does_not_take_goes_to_a_less_specific_one() -> None:
    table = router(
        Route("all"), Route("write", "/a/b", methods=("POST",)), Route("tenant", "/a", headers=(("t", "x"),))
    )
    assert winner(table, "/a/b", method="POST") == "write"
    assert winner(table, "/a/b") == "all"
    assert name_of(table.match(request("/a/b", "h", "GET", (b"t", b"x")))) == "tenant"


@preflight
def _answers(request: Request, call: CallContext) -> Response:
    return Response(status=204)


ANSWERS = Handler("test:answers", HandlerKind.INBOUND, _answers)


def preflights(*routes: Route, method: str, path: str = "/a", silent: str = "") -> str | MatchOutcome:
    """Which pipeline gets a preflight, where all but `silent` answer some."""
    table = ApplicationRouter(
        Target(route, Pipeline(route.pipeline, [ANSWERS] if route.pipeline != silent else []), UnitSet(()))
        for route in routes
    )
    fields = [(b"origin", b"https://shop.example"), (b"access-control-request-method", method.encode())]
    return name_of(table.match(request(path, "any.example", "OPTIONS", *fields)))


READ, WRITE = Route("read", "/a", methods=("GET",)), Route("write", "/a", methods=("POST", "PUT"))


def test_a_preflight_goes_to_the_route_that_takes_what_is_asked_for() -> None:
    assert [preflights(READ, WRITE, method=method) for method in ("GET", "HEAD", "PUT")] == ["read", "read", "write"]
    assert preflights(READ, WRITE, method="DELETE") is MatchOutcome.METHOD_NOT_ALLOWED
    assert preflights(READ, WRITE, Route("all"), method="DELETE") == "all"
    assert preflights(READ, WRITE, Route("all"), method="GET") == "read"


def test_a_pipeline_that_answers_no_preflights_gets_none_unless_it_takes_options() -> None:
    assert preflights(READ, method="GET", silent="read") is MatchOutcome.METHOD_NOT_ALLOWED
    assert preflights(READ, Route("all"), method="GET", silent="read") == "all"
    assert preflights(Route("all"), method="GET", silent="all") == "all"


def test_a_route_that_names_options_gets_preflights_before_those_beside_it() -> None:
    own = Route("own", "/a", methods=("OPTIONS",))
    assert preflights(READ, own, method="GET") == preflights(own, READ, method="GET") == "own"
    below = Route("below", "/a/b", methods=("GET",))
    assert preflights(own, below, method="GET", path="/a/b") == "below"


def test_other_options_are_no_preflights() -> None:
    table = ApplicationRouter([Target(READ, Pipeline("read", [ANSWERS]), UnitSet(()))])
    for fields in ([], [(b"origin", b"https://a.example")], [(b"access-control-request-method", b"GET")]):
        found = table.match(request("/a", "any.example", "OPTIONS", *fields))
        assert name_of(found) is MatchOutcome.METHOD_NOT_ALLOWED


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], "any"),
        ([(b"t", b"x")], "x"),
        ([(b"t", b"X")], "any"),
        ([(b"t", b"y")], "y"),
        ([(b"t", b"x"), (b"t", b"y")], "both"),
        ([(b"t", b"x"), (b"u", b"1")], "x and u"),
        ([(b"u", b"1")], "any"),
    ],
)
def test_header_fields_are_compared_whole_and_more_of_them_win(
    fields: list[tuple[bytes, bytes]], expected: str
) -> None:
    table = router(
        Route("any"), Route("x", headers=(("t", "x"),)), Route("y", headers=(("t", "y"),)),
        Route("both", headers=(("t", "x, y"),)), Route("x and u", headers=(("t", "x"), ("u", "1"))),
    )  # fmt: skip
    assert name_of(table.match(request("/", "any.example", "GET", *fields))) == expected


def test_a_label_leads_to_other_routes_after_everything_that_the_request_says() -> None:
    table = router(
        Route("all"), Route("inside", label="inside"), Route("admin", "/admin", label="inside"), Route("api", "/api")
    )
    inside, outside, other = Came("inside"), Came(), Came("other")

    def led(path: str, way: Came) -> str | MatchOutcome:
        return name_of(table.match(request(path), way))

    assert [led("/", way) for way in (inside, outside, other)] == ["inside", "all", "all"]
    assert [led("/admin/x", way) for way in (inside, outside)] == ["admin", "all"]
    assert led("/api", inside) == "api"
    assert name_of(table.match(request("/"))) == "all"
    alone = router(Route("admin", "/admin", label="inside", methods=("POST",)))
    assert name_of(alone.match(request("/admin"), inside)) is MatchOutcome.METHOD_NOT_ALLOWED
    assert name_of(alone.match(request("/admin"), outside)) is MatchOutcome.NOT_FOUND


def test_no_connection_is_looked_at_where_no_route_asks_for_a_label() -> None:
    came = Came("inside")
    for table in (router(Route("all")), router(Route("all"), Route("a", "/a")), router(Route("a", methods=("GET",)))):
        assert isinstance(table.match(request("/"), came), Target)
    assert came.looked_at == 0


def test_one_route_that_takes_everything_looks_at_nothing() -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> None:
            raise AssertionError(f"looked at {name}")

    found = router(Route("all")).match(cast(Request, Untouchable()))
    assert name_of(found) == "all"


hosts = st.sampled_from(["", "a.example", "b.a.example", "*.example", "*.a.example"])
patterns = st.sampled_from(["/", "/*", "/a", "/a/*", "=/a", "/a/b", "=/a/", "=/"])
routes = st.builds(
    Route,
    pipeline=st.just("any"),
    path=patterns,
    host=hosts,
    methods=st.sampled_from([(), ("GET",), ("POST",), ("GET", "POST")]),
    headers=st.sampled_from([(), (("t", "x"),), (("t", "y"),), (("t", "x"), ("u", "1"))]),
    label=st.sampled_from(["", "", "inside", "outside"]),
)


@st.composite
def unambiguous(draw: st.DrawFn) -> list[Route]:
    """Routes of which no two are ambiguous, named by their place."""
    taken: list[Route] = []
    for route in draw(st.lists(routes, max_size=8)):
        if not any(ambiguous(route, other) for other in taken):
            taken.append(msgspec.structs.replace(route, pipeline=str(len(taken))))
    return taken


def takes(route: Route, asked: Request, label: str) -> bool:
    """What the documentation says, one condition after the other."""
    host, wanted = asked.headers["host"], route.host
    if wanted and not (host.endswith(wanted[1:]) if wanted.startswith("*") else host == wanted):
        return False
    path = route.path
    if path.startswith("="):
        matches = asked.path == path[1:]
    elif path.endswith("/*") and path != "/*":
        matches = asked.path.startswith(path[:-1])
    else:
        matches = path in ("/", "/*") or asked.path == path or asked.path.startswith(f"{path}/")
    methods = {*route.methods, *(["HEAD"] if "GET" in route.methods else [])}
    return (
        matches
        and (not methods or asked.method in methods)
        and all(asked.headers.get(name) == value for name, value in route.headers)
        and route.label in ("", label)
    )


@given(
    unambiguous(),
    st.sampled_from(["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab"]),
    st.sampled_from(["a.example", "b.a.example", "c.b.a.example", "example"]),
    st.sampled_from(["GET", "HEAD", "POST", "PUT"]),
    st.lists(st.sampled_from([(b"t", b"x"), (b"u", b"1")]), unique=True),
    st.sampled_from(["", "inside"]),
)
def test_exactly_one_of_the_most_specific_routes_takes_a_request(
    table: list[Route], path: str, host: str, method: str, fields: list[tuple[bytes, bytes]], label: str
) -> None:
    asked = request(path, host, method, *fields)
    willing = sorted((route for route in table if takes(route, asked, label)), key=specificity)
    assert len({specificity(route) for route in willing}) == len(willing), "the rules leave nothing to chance"
    found = router(*table).match(asked, Came(label))
    if willing:
        assert name_of(found) == willing[-1].pipeline
    else:
        assert isinstance(found, Mismatch)
