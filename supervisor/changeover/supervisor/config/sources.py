"""Where settings come from: flags over CHANGEOVER_* over the file, merged into one table that remembers."""

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from changeover.supervisor.config.settings import Settings
from changeover.supervisor.process.passed import addresses
from changeover.workers.protocol import toml
from changeover.workers.protocol.document import Mistake, Text, nearest

FILE = "changeover.toml"
"""The configuration's name where none is given."""
PREFIX = "CHANGEOVER_"
CONFIG_VARIABLE = "CHANGEOVER_CONFIG"
"""Names the configuration's file."""

PYTHON_UNREAD = (
    "Python files are not read: write a changeover.toml with `bind`, `workers`, the application as [app] target, "
    "limits in [recycle] and [deadlines], and functions in [hooks]; "
    "docs/configuration.md has what becomes of a gunicorn.conf.py"
)
"""What to do instead of naming a Python file."""

SUGGESTIONS = {"WEB_CONCURRENCY": "workers", "LISTEN_FDS": "bind"}
"""Variables of others -> the setting that they stand for where nothing else says it."""

KeyPath = tuple[str, ...]


class Override(msgspec.Struct, frozen=True):
    """One setting given outside the file.

    Attributes:
        key: Where it belongs (`("drain", "http")`).
        value: As a TOML reader would give it, or `Text` to be read.
        origin: The flag or variable, for messages.
        beside: A setting without which it has no effect; empty for none.
        instead: What is said where something else is set below it; empty for nothing.
    """

    key: KeyPath
    value: Any
    origin: str
    beside: KeyPath = ()
    instead: str = ""


class Merged(msgspec.Struct, frozen=True):
    """All sources in one table.

    Attributes:
        table: What to read the settings from.
        file: The file's name, for messages; empty without one.
        folder: What relative paths in the file start from.
        started_in: What relative paths in flags and variables start from.
        overrides: What was laid over the file, lowest first.
        mistakes: What is wrong with a source as such.
        warnings: What a source holds without effect.
        replaced: What an override says that takes the place of something.
    """

    table: dict[str, Any]
    file: str
    folder: Path
    started_in: Path
    overrides: tuple[Override, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    warnings: tuple[Mistake, ...] = ()
    replaced: tuple[Mistake, ...] = ()

    def origin(self, path: str) -> str:
        """The flag or variable that set what stands at `path`, else the file."""
        for override in reversed(self.overrides):
            at = written(override.key)
            if path == at or path.startswith((f"{at}.", f"{at}[")):
                return override.origin
        return self.file


class Source(msgspec.Struct, frozen=True):
    """What to read settings from.

    Attributes:
        file: The configuration; None looks at CHANGEOVER_CONFIG, then for `changeover.toml` in `folder`.
        folder: The folder that the command was started in.
        environment: The environment.
        flags: Settings given as flags.
    """

    file: Path | None = None
    folder: Path = Path()
    environment: Mapping[str, str] = {}
    flags: tuple[Override, ...] = ()

    def found(self) -> Path | None:
        """The file to read, None when there is none. Looks at the disk."""
        named = self.file or (Path(self.environment[CONFIG_VARIABLE]) if CONFIG_VARIABLE in self.environment else None)
        if named is not None:
            return self.folder / named
        return self.folder / FILE if (self.folder / FILE).is_file() else None


def written(key: KeyPath) -> str:
    """A setting's path as messages have it (`$.drain.http`)."""
    return ".".join(("$", *key))


def gather(source: Source) -> Merged:
    """Read the file and lay environment and flags over it. Blocks on the disk."""
    file = source.found()
    overrides, warnings = from_environment(source.environment)
    overrides = (*overrides, *source.flags)
    started_in = source.folder.absolute()
    if file is None:
        return merge({}, Merged({}, "", started_in, started_in, overrides, (), warnings))
    merged = Merged({}, str(file), file.absolute().parent, started_in, overrides, (), warnings)
    if file.suffix == ".py":
        return msgspec.structs.replace(merged, mistakes=(Mistake("$", PYTHON_UNREAD),))
    try:
        table = toml.loads(file.read_text("utf-8"))
    except toml.NoToml as error:
        return msgspec.structs.replace(merged, mistakes=(Mistake("$", f"no TOML: {error}"),))
    except UnicodeDecodeError as error:
        return msgspec.structs.replace(merged, mistakes=(Mistake("$", f"not UTF-8 at byte {error.start}"),))
    except OSError as error:
        return msgspec.structs.replace(merged, mistakes=(Mistake("$", f"cannot be read: {error.strerror}"),))
    return merge(table, merged)


def merge(table: Mapping[str, Any], merged: Merged) -> Merged:
    """Lay the overrides over a file's table, lowest first."""
    result: dict[str, Any] = dict(table)
    replaced: list[Mistake] = []
    for override in merged.overrides:
        if SUGGESTIONS.get(override.origin) in table:
            continue
        if override.beside and not _is_set(override.beside, table, merged.overrides):
            continue
        if override.instead and _found(override.key, result):
            replaced.append(Mistake(written(override.key), override.instead))
        _lay(result, override.key, override.value)
    return msgspec.structs.replace(merged, table=result, replaced=tuple(replaced))


def _is_set(key: KeyPath, table: Mapping[str, Any], overrides: Iterable[Override]) -> bool:
    return _found(key, table) is not None or any(override.key == key for override in overrides)


def _found(key: KeyPath, table: Mapping[str, Any]) -> Any:
    below: Any = table
    for part in key:
        below = below.get(part) if isinstance(below, Mapping) else None
    return below


def _lay(table: dict[str, Any], key: KeyPath, value: Any) -> None:
    for part in key[:-1]:
        below = table.get(part)
        table[part] = dict(below) if isinstance(below, Mapping) else {}
        table = table[part]
    table[key[-1]] = value


def from_environment(environment: Mapping[str, str]) -> tuple[tuple[Override, ...], tuple[Mistake, ...]]:
    """Read CHANGEOVER_* (and, lowest, what others say) as overrides.

    Returns:
        The overrides in order, and a warning for each CHANGEOVER_* that names no setting.
    """
    known = {variable(key): key for key in setting_keys()}
    overrides = []
    warnings = []
    if "WEB_CONCURRENCY" in environment:
        overrides.append(Override(("workers",), Text(environment["WEB_CONCURRENCY"]), "WEB_CONCURRENCY"))
    if passed := addresses(environment):
        overrides.append(Override(("bind",), list(passed), "LISTEN_FDS"))
    for name in sorted(environment):
        if name in known:
            overrides.append(Override(known[name], Text(environment[name]), name))
        elif name.startswith(PREFIX) and name != CONFIG_VARIABLE:
            warnings.append(Mistake(name, f"names no setting and has no effect{nearest(name, known)}"))
    return tuple(overrides), tuple(warnings)


def variable(key: KeyPath) -> str:
    """The environment variable of a setting (`CHANGEOVER_DRAIN_HTTP`)."""
    return PREFIX + "_".join(key).upper()


def setting_keys() -> Iterator[KeyPath]:
    """Every setting that has one place: not those inside pipelines or of single plugins."""
    return _keys(Settings, ())


def _keys(shape: type[msgspec.Struct], prefix: KeyPath) -> Iterator[KeyPath]:
    for field in msgspec.structs.fields(shape):
        key = (*prefix, field.encode_name)
        inner = _struct(field.type)
        if inner:
            yield from _keys(inner, key)
        elif not _is_collection_of_tables(field.type):
            yield key


def _struct(shape: Any) -> type[msgspec.Struct] | None:
    members: Iterable[Any] = typing.get_args(shape) if isinstance(shape, types.UnionType) else (shape,)
    return next((m for m in members if isinstance(m, type) and issubclass(m, msgspec.Struct)), None)


def _is_collection_of_tables(shape: Any) -> bool:
    return any(_struct(argument) for argument in typing.get_args(shape))
