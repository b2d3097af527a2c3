"""Which matches a configuration may have, and which of them leave open who takes a request."""

import pytest

from changeover.supervisor.config.matches import collisions, mistakes
from changeover.supervisor.config.settings import Pipeline, PipelineMatch
from changeover.workers.protocol.snapshot import Route


@pytest.mark.parametrize(
    "match",
    [
        PipelineMatch("/api"),
        PipelineMatch("/api/*"),
        PipelineMatch("/*"),
        PipelineMatch("=/"),
        PipelineMatch("=/api/"),
        PipelineMatch(host="*.shop.example"),
        PipelineMatch(host="[::1]"),
        PipelineMatch(method="GET"),
        PipelineMatch(method=("GET", "M-SEARCH")),
        PipelineMatch(header={"X-Tenant": "big one", "x-other": "ä"}),
    ],
)
def test_what_can_be_matched(match: PipelineMatch) -> None:
    assert mistakes("$", match) == []


@pytest.mark.parametrize(
    ("match", "path", "why"),
    [
        (PipelineMatch("api"), "$.path", "is no path; write `/api`"),
        (PipelineMatch(""), "$.path", "is no path"),
        (PipelineMatch("="), "$.path", "is no path"),
        (PipelineMatch("=/*"), "$.path", "is no path"),
        (PipelineMatch("/api/"), "$.path", "is no path"),
        (PipelineMatch("/a*"), "$.path", "is no path"),
        (PipelineMatch("/*/a"), "$.path", "is no path"),
        (PipelineMatch("=api"), "$.path", "is no path"),
        (PipelineMatch("=/api/*"), "$.path", "is no path"),
        (PipelineMatch("=//"), "$.path", "is no path"),
        (PipelineMatch(host="Shop.example"), "$.host", "lower case"),
        (PipelineMatch(host="a.*.example"), "$.host", "`*.shop.example`"),
        (PipelineMatch(host="*."), "$.host", "`*.shop.example`"),
        (PipelineMatch(method="get"), "$.method", "'get' is no method"),
        (PipelineMatch(method=""), "$.method", "'' is no method"),
        (PipelineMatch(header={"x y": "1"}), '$.header."x y"', "no name of a header field"),
        (PipelineMatch(header={"host": "shop"}), "$.header.host", "say it with `host`"),
        (PipelineMatch(header={"x": ""}), "$.header.x", "no value"),
        (PipelineMatch(header={"x": "a\nb"}), "$.header.x", "no value"),
        (PipelineMatch(header={"x": " a"}), "$.header.x", "no value"),
        (PipelineMatch(header={"x": "€"}), "$.header.x", "no value"),
        (PipelineMatch(header={"x": "1", "X": "2"}), "$.header", "x stands here twice"),
    ],
)
def test_what_cannot_be_matched_is_refused_where_it_stands(match: PipelineMatch, path: str, why: str) -> None:
    [mistake] = mistakes("$", match)
    assert mistake.path == path
    assert why in mistake.message


def test_a_match_becomes_a_route_in_one_form_however_it_was_written() -> None:
    match = PipelineMatch("/*", "a.example", ("POST", "GET", "GET"), {"X-B": "2", "x-a": "1"})
    route = Route("shop", "/", "a.example", methods=("GET", "POST"), headers=(("x-a", "1"), ("x-b", "2")))
    assert match.route("shop") == route
    assert Pipeline(match).title == "GET,POST a.example/ x-a=1 x-b=2"


SAME, OPEN = "leads to $.pipelines[0] already", "neither is more specific"


@pytest.mark.parametrize(
    ("one", "other", "collision"),
    [
        (PipelineMatch("/a"), PipelineMatch("/a"), SAME),
        (PipelineMatch("/"), PipelineMatch("/*"), SAME),
        (PipelineMatch("/a"), PipelineMatch("/a/*"), ""),
        (PipelineMatch("/a"), PipelineMatch("=/a"), ""),
        (PipelineMatch("/a"), PipelineMatch("/b"), ""),
        (PipelineMatch(host="a.example"), PipelineMatch(host="b.example"), ""),
        (PipelineMatch(host="*.a.example"), PipelineMatch(host="*.b.example"), ""),
        (PipelineMatch(method="GET"), PipelineMatch(method="POST"), ""),
        (PipelineMatch(method="GET"), PipelineMatch(method=("POST", "GET")), OPEN),
        (PipelineMatch(method="GET"), PipelineMatch(method="HEAD"), OPEN),
        (PipelineMatch(method="GET"), PipelineMatch(), ""),
        (PipelineMatch(header={"a": "1"}), PipelineMatch(header={"a": "2"}), ""),
        (PipelineMatch(header={"a": "1"}), PipelineMatch(header={"b": "1"}), OPEN),
        (PipelineMatch(header={"a": "1"}), PipelineMatch(header={"b": "1", "a": "1"}), ""),
        (PipelineMatch(header={"a": "1"}), PipelineMatch(method="GET"), ""),
        (PipelineMatch(header={"A": "1"}), PipelineMatch(header={"a": "1"}), SAME),
    ],
)
def test_two_pipelines_collide_when_a_request_could_take_either_and_neither_is_more_specific(
    one: PipelineMatch, other: PipelineMatch, collision: str
) -> None:
    for first, second in ((one, other), (other, one)):
        found = [str(each) for each in collisions("$.pipelines[1]", Pipeline(second), (Pipeline(first),))]
        assert len(found) == bool(collision)
        assert all(each.startswith("$.pipelines[1].match: ") and collision in each for each in found)


def test_two_pipelines_of_one_name_collide() -> None:
    pipelines = (Pipeline(PipelineMatch("/a"), name="shop"), Pipeline(PipelineMatch("/b"), name="shop"))
    [mistake] = collisions("$.pipelines[1]", pipelines[1], pipelines[:1])
    assert str(mistake) == "$.pipelines[1].name: shop names $.pipelines[0] already"
