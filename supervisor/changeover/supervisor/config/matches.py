"""What the `match` of a pipeline must be, and which of them leave open who takes a request. Pure."""

import re
from collections.abc import Iterator, Sequence

from changeover.supervisor.config.settings import Pipeline, PipelineMatch
from changeover.workers.plugins.manifest_mistakes import mount_mistakes
from changeover.workers.protocol.document import Mistake, below
from changeover.workers.protocol.matching import BELOW, EXACTLY, WILDCARD, ambiguous
from changeover.workers.protocol.snapshot import Route

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Z-]+")
_FIELD = re.compile(r"[\x21-\x7e\x80-\xff](?:[ \t]*[\x21-\x7e\x80-\xff])*")


def mistakes(path: str, match: PipelineMatch) -> list[Mistake]:
    """Say everything that a `match` must not be; `path` is where it stands."""
    found = _path_mistakes(f"{path}.path", match.path)
    host = match.host.removeprefix(WILDCARD)
    if host != host.lower() or any(c in host for c in "/*") or re.search(r":\d+$", host) or match.host == WILDCARD:
        found.append(Mistake(f"{path}.host", "a host name in lower case, without scheme or port, or `*.shop.example`"))
    for method in match.methods:
        if not _METHOD.fullmatch(method):
            found.append(Mistake(f"{path}.method", f"{method!r} is no method; write it like `GET`"))
    for name, value in match.header.items():
        at = below(f"{path}.header", name)
        if not _TOKEN.fullmatch(name):
            found.append(Mistake(at, f"{name!r} is no name of a header field"))
        elif name.lower() == "host":
            found.append(Mistake(at, "say it with `host`, which knows ports and wildcards"))
        if not _FIELD.fullmatch(value):
            found.append(Mistake(at, f"{value!r} is no value that a header field can have"))
    lowered = [name.lower() for name in match.header]
    found += [
        Mistake(f"{path}.header", f"{name} stands here twice") for name in set(lowered) if lowered.count(name) > 1
    ]
    return found


def _path_mistakes(path: str, written: str) -> list[Mistake]:
    ending = "/" if written.startswith(EXACTLY) else BELOW
    literal = written.removeprefix(EXACTLY)
    plain = "/" if literal == ending else literal.removesuffix(ending)
    if "//" not in written and not mount_mistakes(path, plain):
        return []
    forms = "`/api` (itself and what is below), `/api/*` (what is below) or `=/api` (itself)"
    return [Mistake(path, f"{written!r} is no path; write {forms}, without `?`, `#`, `//` or another `*`")]


def collisions(path: str, pipeline: Pipeline, earlier: Sequence[Pipeline]) -> Iterator[Mistake]:
    """Say which earlier pipelines can take the same requests, or have the same name.

    Args:
        path: Where the pipeline stands.
        pipeline: It.
        earlier: Those before it, from `$.pipelines[0]` on.
    """
    route = pipeline.match.route(pipeline.title)
    for number, other in enumerate(earlier):
        there = other.match.route(other.title)
        if ambiguous(route, there):
            yield Mistake(f"{path}.match", f"{overlap(route, there)} $.pipelines[{number}] already")
        elif other.title == pipeline.title:
            yield Mistake(f"{path}.name", f"{pipeline.title} names $.pipelines[{number}] already")


def overlap(one: Route, other: Route) -> str:
    """How two routes that are ambiguous collide, in words that go on with where the other one is written."""
    if (one.methods, one.headers) == (other.methods, other.headers):
        return f"{one} leads to"
    return f"{one} can take the same requests as {other}, and neither is more specific: those lead to"
