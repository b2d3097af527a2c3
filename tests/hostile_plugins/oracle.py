"""Says of a manifest why nobody may take it: by what the documents promise, and by nothing that reads manifests."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

Check = Callable[[object], bool]
"""Whether a value may be taken."""


def fault(manifest: bytes) -> str:
    """Why it has to be refused; empty where it may be sound."""
    try:
        read = tomllib.loads(manifest.decode())
    except UnicodeDecodeError:
        return "not UTF-8"
    except RecursionError:
        return "deeper than anybody reads"
    except ValueError as error:
        return f"no TOML: {error}"
    return next(_faults(read), "")


def _faults(read: Mapping[str, object]) -> Iterator[str]:
    yield from (f"unknown key {key!r}" for key in read.keys() - MANIFEST.keys())
    yield from (f"no {key}" for key in ("id", "version") if key not in read)
    yield from (f"bad {key}" for key, value in read.items() if key in MANIFEST and not MANIFEST[key](value))


def _text(value: object) -> bool:
    return type(value) is str


def _flag(value: object) -> bool:
    return type(value) is bool


def _matching(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _read_by(reader: Callable[[str], object]) -> Check:
    def read(value: object) -> bool:
        try:
            return isinstance(value, str) and reader(value) is not None
        except (InvalidRequirement, InvalidSpecifier, InvalidVersion):
            return False

    return read


def _either(*checks: Check) -> Check:
    return lambda value: any(check(value) for check in checks)


def _all_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _each(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _table(known: Mapping[str, Check], *required: str) -> Check:
    return lambda value: (
        isinstance(value, dict)
        and value.keys() <= known.keys()
        and all(key in value for key in required)
        and all(known[key](each) for key, each in value.items())
    )


ENTRY = _matching(r"|[^:\s]+:[^:\s]+")
DIRECTION = _matching("inbound|outbound|around")
RANGE = _read_by(SpecifierSet)
HANDLER = _table(
    {
        "direction": DIRECTION,
        "phase": _matching("security|codec|limit|app"),
        "after": _all_of(_text),
        "before": _all_of(_text),
        "entry": ENTRY,
    },
    "direction",
)
SERVICE = _table({"entry": ENTRY, "interface": _matching("native|asgi|wsgi"), "mount": _matching(r"|/[\s\S]*")})
OFFER = _either(_all_of(_text), _each(_either(ENTRY, _table({"entry": ENTRY}))))
MANIFEST: dict[str, Check] = {
    "id": _matching(r"[\w-]+"),
    "version": _read_by(Version),
    "api": RANGE,
    "summary": _text,
    "requires": _each(RANGE),
    "plugin": ENTRY,
    "config": ENTRY,
    "handlers": _each(_either(DIRECTION, HANDLER)),
    "services": _each(_either(_matching(r"/[\s\S]*"), ENTRY, SERVICE)),
    "initializers": OFFER,
    "selectors": OFFER,
    "extensions": _either(_all_of(_text), _each(ENTRY)),
    "resources": _each(_table({"path": _text, "reload": _text}, "path")),
    "capabilities": _all_of(_text),
    "state": RANGE,
    "self_test": ENTRY,
    "strategy": _matching("swap|roll"),
    "singleton": _flag,
    "dependencies": _all_of(_read_by(Requirement)),
    "packages": _text,
}
"""Key -> whether its value may be taken, as the table in the documents has it."""
