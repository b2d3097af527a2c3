"""Handlers as pipelines name them: every mistake with its path, before anything runs."""

from typing import Any

import pytest

from changeover.supervisor.config.handlers import mistakes, ref_of
from changeover.workers.protocol.snapshot import HandlerRef


def told(*handlers: str | dict[str, Any]) -> list[str]:
    return [str(mistake) for mistake in mistakes("$.pipelines[0].handlers", handlers)]


def test_a_handler_is_a_plugins_or_a_ready_made_one_with_settings_or_without() -> None:
    assert ref_of("pricing:discount") == HandlerRef("pricing", "discount")
    assert ref_of("request-id") == ref_of({"use": "request-id"}) == HandlerRef("", "request-id")
    limit = ref_of({"use": "concurrency-limit", "limit": 200, "wait": "2s"})
    assert limit == HandlerRef("", "concurrency-limit", b'{"limit":200,"wait":"2s"}')
    assert [str(ref_of("pricing:discount")), str(limit)] == ["pricing:discount", "concurrency-limit"]


def test_what_is_written_in_another_order_is_the_same() -> None:
    assert ref_of({"limit": 5, "use": "rate-limit", "per": 1}) == ref_of({"per": 1, "limit": 5, "use": "rate-limit"})


@pytest.mark.parametrize(
    ("written", "mistake"),
    [
        (
            "reqest-id",
            ": there is no ready-made handler 'reqest-id'; did you mean `request-id`?; a plugin's is written",
        ),
        ("Pricing:x", ": 'Pricing:x' is no handler"),
        ({"use": "rate-limit"}, ".limit: missing, and it has no default"),
        ({"use": "rate-limit", "limit": "many"}, ".limit: 'many' is not a whole number"),
        ({"use": "rate-limit", "limit": 0}, ".limit: must be at least 1"),
        ({"use": "rate-limit", "limt": 5, "limit": 5}, ".limt: unknown key; did you mean `limit`?"),
        ({"use": "rate-limit", "limit": 5, "key": "cookie"}, ".key: 'cookie' must be `client`, or a field such as"),
        ({"use": "timeout", "after": "soon"}, ".after: 'soon' is no duration"),
        ({"use": "cors", "origins": ["shop.example"]}, ".origins[0]: 'shop.example' is no origin"),
        ({"use": "cors", "origins": ["*"], "credentials": True}, ".credentials: browsers take none from `*`"),
        ({"use": "cors", "origin_regex": "("}, ".origin_regex: no regular expression"),
        ({"use": "compression", "encodings": ["zip"]}, ".encodings[0]: 'zip' is not one of gzip, zstd, br"),
        ({"usw": "rate-limit", "limit": 5}, ".use: missing: the name of a handler; did you mean `use`?"),
        (
            {"use": "pricing:discount", "percent": 5},
            ".percent: unknown key; a plugin is told things in [plugins.pricing]",
        ),
    ],
    ids=str,
)
def test_a_mistake_says_where_and_what_would_be_right(written: str | dict[str, Any], mistake: str) -> None:
    [message] = told("pricing:first", written)
    assert message.startswith(f"$.pipelines[0].handlers[1]{mistake}")


def test_all_mistakes_are_told_at_once() -> None:
    bad = {"use": "concurrency-limit", "limit": 0, "wait": 0, "queue": -1}
    assert [message.partition(":")[0] for message in told(bad, "x", "request-id", "request-id")] == [
        "$.pipelines[0].handlers[0].limit",
        "$.pipelines[0].handlers[0].queue",
        "$.pipelines[0].handlers[0].wait",
        "$.pipelines[0].handlers[1]",
        "$.pipelines[0].handlers[3]",
    ]


def test_two_of_a_kind_that_are_told_different_things_are_two_handlers() -> None:
    assert told({"use": "rate-limit", "limit": 5}, {"use": "rate-limit", "limit": 50, "key": "header:x-key"}) == []
    assert told({"use": "rate-limit", "limit": 5}, {"limit": 5, "use": "rate-limit"}) == [
        "$.pipelines[0].handlers[1]: rate-limit stands in this pipeline twice"
    ]
