"""Turns a sound manifest into ones that nobody may take, at random: an oracle throws away what may still be sound."""

import json
from collections.abc import Callable, Collection, Iterator
from copy import deepcopy
from random import Random
from typing import Any

from tests.hostile_plugins.offer import HOSTILE
from tests.hostile_plugins.oracle import fault

SOUND: dict[str, Any] = {
    "id": HOSTILE,
    "version": "1.0",
    "api": ">=1,<2",
    "summary": "Does nothing.",
    "plugin": f"{HOSTILE}:Own",
    "config": f"{HOSTILE}:Config",
    "requires": {"victim": ">=1"},
    "handlers": {"count": "inbound", "limit": {"direction": "around", "phase": "limit", "after": ["count"]}},
    "services": {"greet": "/greet", "part": {"entry": f"{HOSTILE}:part", "interface": "asgi", "mount": "/part"}},
    "initializers": ["lines"],
    "selectors": {"old": {"entry": f"{HOSTILE}:old"}},
    "extensions": {"shop.pricing": f"{HOSTILE}:price"},
    "resources": {"rules": {"path": "rules/*.toml", "reload": "on-change"}},
    "capabilities": ["net"],
    "state": ">=1",
    "self_test": f"{HOSTILE}:tried",
    "strategy": "roll",
    "singleton": True,
    "dependencies": ["msgspec>=0.18"],
    "packages": "vendor",
}
"""As it is it may be taken; every key that there is has a value."""
STRANGE = "\0\t\n\x7f \"'#=[]{}:/\\.Zß\u202e\U0001f40d"


class Raw(str):
    """Goes into the text as it is."""


def written(value: object) -> str:
    """A value as TOML."""
    match value:
        case Raw():
            return value
        case bool() | str():
            return json.dumps(value, ensure_ascii=False)
        case list():
            return f"[{', '.join(map(written, value))}]"
        case dict():
            return f"{{{', '.join(_lines(value))}}}"
        case _:
            return str(value)


def _lines(table: dict[str, Any]) -> Iterator[str]:
    return (f"{json.dumps(key, ensure_ascii=False)} = {written(value)}" for key, value in table.items())


def document(manifest: dict[str, Any]) -> bytes:
    """A whole manifest as TOML."""
    return "".join(f"{line}\n" for line in _lines(manifest)).encode()


def _places(inside: Any) -> Iterator[tuple[Any, Any]]:
    """Every container, with each key or index in it."""
    for key in inside if isinstance(inside, dict) else range(len(inside)):
        yield inside, key
        if isinstance(inside[key], dict | list):
            yield from _places(inside[key])


def _garbled(random: Random, text: str) -> str:
    characters = list(text)
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(characters) + 1)
        characters[at : at + random.randint(0, 2)] = random.choices(STRANGE + text, k=random.randint(0, 2))
    return "".join(characters)


def _anything(random: Random, depth: int = 3) -> object:
    inner = [_anything(random, depth - 1) for _ in range(random.randint(0, 3))] if depth else []
    scalars = (random.randint(-(2**70), 2**70), random.uniform(-9, 9), random.random() < 0.5, _garbled(random, "text"))
    dates = (Raw("1979-05-27"), Raw("07:32:00"), Raw("nan"), Raw("-inf"))
    return random.choice((*scalars, *dates, inner, {str(at): each for at, each in enumerate(inner)}))


def _dropped(random: Random, manifest: dict[str, Any]) -> bytes:
    for _ in range(random.randint(1, 6)):
        inside, key = random.choice([*_places(manifest)])
        del inside[key]
    return document(manifest)


def _again(random: Random, manifest: dict[str, Any]) -> bytes:
    lines = document(manifest).splitlines(keepends=True)
    lines.insert(random.randrange(len(lines)), random.choice(lines))
    return b"".join(lines)


def _other_type(random: Random, manifest: dict[str, Any]) -> bytes:
    inside, key = random.choice([*_places(manifest)])
    inside[key] = _anything(random)
    return document(manifest)


def _other_key(random: Random, manifest: dict[str, Any]) -> bytes:
    inside, key = random.choice([place for place in _places(manifest) if isinstance(place[0], dict)])
    inside[_garbled(random, key)] = inside.pop(key)
    return document(manifest)


def _other_text(random: Random, manifest: dict[str, Any]) -> bytes:
    inside, key = random.choice([(inside, key) for inside, key in _places(manifest) if isinstance(inside[key], str)])
    inside[key] = _garbled(random, inside[key])
    return document(manifest)


def _flipped(random: Random, manifest: dict[str, Any]) -> bytes:
    content = bytearray(document(manifest))
    for _ in range(random.randint(1, 8)):
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    return bytes(content)


def _torn(random: Random, manifest: dict[str, Any]) -> bytes:
    content = document(manifest)
    begin, end = sorted(random.sample(range(len(content)), 2))
    return content[:begin] + random.randbytes(random.choice((0, 0, 1, 200))) + content[end:]


def _nested(random: Random, manifest: dict[str, Any]) -> bytes:
    inside, key = random.choice([*_places(manifest)])
    deep = random.choice((10, 200, 5_000, 50_000))
    opened, closed = random.choice((("[", "]"), ("{a=", "}")))
    inside[key] = Raw(opened * deep + "1" + closed * deep)
    return document(manifest)


def _huge(random: Random, manifest: dict[str, Any]) -> bytes:
    inside, key = random.choice([*_places(manifest)])
    size = random.choice((5_000, 500_000))
    many = Raw(f"[{'1,' * size}]")
    inside[key] = random.choice((Raw("9" * size), Raw(f"0.{'1' * size}"), Raw(f"1e{'9' * size}"), " " * size, many))
    return document(manifest)


MUTATIONS: dict[str, Callable[[Random, dict[str, Any]], bytes]] = {
    "something dropped": _dropped,
    "something twice": _again,
    "a value of another type": _other_type,
    "a garbled key": _other_key,
    "a garbled value": _other_text,
    "flipped bits": _flipped,
    "bytes torn out": _torn,
    "a value that is nested deep": _nested,
    "a value that is huge": _huge,
}


def mutants(random: Random, kinds: Collection[str] = MUTATIONS) -> Iterator[tuple[str, bytes]]:
    """What was done, and the manifest: without end, one of each kind after the other, each new and to be refused."""
    seen = {document(SOUND)}
    while True:
        for kind in kinds:
            manifest = document(SOUND)
            while manifest in seen or not fault(manifest):
                manifest = MUTATIONS[kind](random, deepcopy(SOUND))
            seen.add(manifest)
            yield kind, manifest
