"""From a merged table to settings, or to everything that is wrong with it. Pure."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from changeover.supervisor.config.paths import default_name
from changeover.supervisor.config.settings import App, Pipeline, PipelineMatch, Plugins, Settings
from changeover.supervisor.config.sources import Merged
from changeover.supervisor.errors import SupervisorError
from changeover.workers.plugins.manifest import RESERVED, mount_mistakes
from changeover.workers.protocol.document import Mistake, below, read

MAX_HEAD = 64 * 1024
"""Bytes: an unread head must fit the message in which a connection is handed over."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_NAMED = re.compile(r"[a-z][a-z0-9_-]*:[a-z][a-z0-9_-]*")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_BIND = re.compile(r"unix:.+|fd://\d+|(\[[0-9A-Fa-f:.%]+\]|[^\[\]:/\s]*):(?P<port>\d+)")


_PLACEHOLDERS: dict[str, App | Plugins] = {"app": App("unreadable:app"), "plugins": Plugins(dir="unreadable")}
"""Stand for areas that cannot be read, so that nothing else seems to lack them."""


class ConfigError(msgspec.Struct, frozen=True, order=True):
    """One thing that is wrong in the configuration.

    Attributes:
        origin: The file, flag or variable.
        path: The setting (`$.pipelines[0].handlers[2]`).
        message: What is wrong, and what would be right.
    """

    origin: str
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.origin, self.path, self.message) if part)


class ConfigInvalid(SupervisorError):
    """The configuration cannot be used as it stands.

    Attributes:
        errors: Everything that is wrong with it.
    """

    def __init__(self, errors: tuple[ConfigError, ...]) -> None:
        self.errors = errors
        super().__init__("\n".join(str(error) for error in errors))


class Checked(msgspec.Struct, frozen=True):
    """What checking a configuration gives.

    Attributes:
        settings: The settings; None when there are errors.
        errors: Everything that makes it unusable.
        warnings: What is legal and probably not meant.
        file: The configuration's file, empty without one.
    """

    settings: Settings | None
    errors: tuple[ConfigError, ...] = ()
    warnings: tuple[ConfigError, ...] = ()
    file: str = ""

    def required(self) -> Settings:
        """The settings.

        Raises:
            ConfigInvalid: There are errors.
        """
        if self.settings is None:
            raise ConfigInvalid(self.errors)
        return self.settings


def judge(merged: Merged) -> Checked:
    """Read settings out of all sources together."""
    mistakes: list[Mistake] = list(merged.mistakes)
    warnings = [ConfigError("environment", warning.path, warning.message) for warning in merged.warnings]
    if not mistakes:
        settings = _completed(_read_areas(_split_plugins(merged.table, mistakes), mistakes), merged)
        unreadable = tuple(mistake.path for mistake in mistakes)
        mistakes += (mistake for mistake in _mistakes(settings) if not mistake.path.startswith(unreadable))
        if not mistakes:
            warnings += [_located(warning, merged) for warning in _warnings(settings)]
            return Checked(settings, (), tuple(warnings), merged.file)
    return Checked(None, tuple(_located(mistake, merged) for mistake in mistakes), tuple(warnings), merged.file)


def _read_areas(table: dict[str, Any], mistakes: list[Mistake]) -> Settings:
    """Read area by area, so that one that cannot be read does not hide what is wrong with the others."""
    settings = Settings()
    for key, value in table.items():
        if key == "pipelines" and isinstance(value, list):
            settings = msgspec.structs.replace(settings, pipelines=_read_pipelines(value, mistakes))
            continue
        read_one = read({key: value}, Settings, mistakes)
        if read_one is not None:
            settings = msgspec.structs.replace(settings, **{key: getattr(read_one, key)})
        elif key in _PLACEHOLDERS:
            settings = msgspec.structs.replace(settings, **{key: _PLACEHOLDERS[key]})
    return settings


def _read_pipelines(tables: list[Any], mistakes: list[Mistake]) -> tuple[Pipeline, ...]:
    return tuple(
        read(table, Pipeline, mistakes, f"$.pipelines[{index}]") or Pipeline(PipelineMatch(f"/unreadable-{index}"))
        for index, table in enumerate(tables)
    )


def _split_plugins(table: dict[str, Any], mistakes: list[Mistake]) -> dict[str, Any]:
    """Tell `[plugins.pricing]` apart from the settings that stand beside it."""
    plugins = table.get("plugins")
    if not isinstance(plugins, dict):
        return table
    general = {key: value for key, value in plugins.items() if key in RESERVED or not isinstance(value, dict)}
    entries = {key: value for key, value in plugins.items() if key not in general}
    if "entries" in general:
        mistakes.append(Mistake("$.plugins.entries", "unknown key"))
    return table | {"plugins": general | {"entries": entries}}


def _located(mistake: Mistake, merged: Merged) -> ConfigError:
    path = mistake.path.replace("$.plugins.entries.", "$.plugins.", 1)
    return ConfigError(merged.origin(path), path, mistake.message)


def _completed(settings: Settings, merged: Merged) -> Settings:
    """Make folders absolute, and give the service the name of its folder if it has none."""
    overridden = {override.key for override in merged.overrides}

    def resolved(folder: str, *key: str) -> str:
        return str((merged.started_in if key in overridden else merged.folder) / folder) if folder else ""

    replace = msgspec.structs.replace
    app = settings.app and replace(settings.app, dir=resolved(settings.app.dir, "app", "dir"))
    return replace(
        settings,
        name=settings.name or default_name(merged.folder),
        runtime_dir=resolved(settings.runtime_dir, "runtime_dir"),
        state_dir=resolved(settings.state_dir, "state_dir"),
        app=app,
        plugins=replace(settings.plugins, dir=resolved(settings.plugins.dir, "plugins", "dir")),
    )


def _mistakes(settings: Settings) -> list[Mistake]:
    mistakes = [Mistake(path, message) for path, ok, message in _rules(settings) if not ok]
    for index, address in enumerate(settings.bind):
        mistakes += _bind_mistakes(f"$.bind[{index}]", address, address in settings.bind[:index])
    for name, plugin in settings.plugins.entries.items():
        mounts = {"": plugin.mount} if isinstance(plugin.mount, str) else plugin.mount or {}
        for service, mount in mounts.items():
            at = below(f"$.plugins.{name}.mount", service) if service else f"$.plugins.{name}.mount"
            mistakes += mount_mistakes(at, mount) if mount else []
    for index, pipeline in enumerate(settings.pipelines):
        mistakes += _pipeline_mistakes(f"$.pipelines[{index}]", pipeline, settings.pipelines[:index], settings)
    return mistakes


def _rules(settings: Settings) -> Iterator[tuple[str, bool, str]]:
    """Path, whether it holds, and what to do when it does not."""
    limits, deadlines, drain = settings.limits, settings.deadlines, settings.drain
    yield "$.name", bool(_NAME.fullmatch(settings.name)), "letters, digits, `.`, `-` and `_`, at most 64"
    yield "$.bind", bool(settings.bind), "names no address to listen on"
    yield "$.workers", settings.workers == "auto" or settings.workers >= 1, "must be at least 1, or `auto`"
    yield "$.backlog", settings.backlog >= 1, "must be at least 1"
    yield "$.max_connections", settings.max_connections >= 0, "must be 0 or more"
    yield "$.history.keep", settings.history.keep >= 1, "must be at least 1: the committed epoch is always kept"
    yield "$.drain.max_resident", drain.max_resident >= 2, "must be at least 2: a swap holds two copies for a moment"
    yield "$.limits.head", 256 <= limits.head <= MAX_HEAD, f"must be 256 to {MAX_HEAD} bytes"
    yield "$.limits.url", 64 <= limits.url <= limits.head, "must be 64 bytes at least and `limits.head` at most"
    yield "$.limits.fields", limits.fields >= 1, "must be at least 1"
    yield "$.limits.body", limits.body >= 0, "must be 0 (unlimited) or more"
    yield "$.limits.unread", 1024 <= limits.unread <= MAX_HEAD, f"must be 1024 to {MAX_HEAD} bytes"
    for key in ("hook", "graceful", "heartbeat", "prepare", "boot"):
        yield f"$.deadlines.{key}", getattr(deadlines, key) > 0, "must be above 0: every wait ends"
    silent = "must be longer than `deadlines.heartbeat`, or every worker counts as silent"
    yield "$.deadlines.silence", deadlines.silence > deadlines.heartbeat, silent
    for key in ("head_timeout", "body_timeout", "keep_alive", "first_byte", "write_timeout"):
        yield f"$.limits.{key}", getattr(limits, key) > 0, "must be above 0: every wait ends"
    serves = settings.app is not None or bool(settings.plugins.dir)
    yield "$", serves, "nothing to serve: name an application (`[app] target`) or a folder of plugins (`[plugins] dir`)"
    if settings.app:
        target = f"{settings.app.target!r} is no target; write it like `package.module:app`"
        yield "$.app.target", bool(_TARGET.fullmatch(settings.app.target)), target
        root = settings.app.root_path
        yield "$.app.root_path", not root or not mount_mistakes("", root), "starts with `/` and ends without"


def _bind_mistakes(path: str, address: str, repeated: bool) -> list[Mistake]:
    match = _BIND.fullmatch(address)
    if not match:
        return [Mistake(path, f"{address!r} is no address: host:port, [v6]:port, unix:/path or fd://3")]
    if match["port"] and int(match["port"]) > 65535:
        return [Mistake(path, f"port {match['port']} is above 65535")]
    return [Mistake(path, f"{address} stands here twice")] if repeated and match["port"] != "0" else []


def _pipeline_mistakes(path: str, pipeline: Pipeline, earlier: tuple[Pipeline, ...], all: Settings) -> list[Mistake]:
    mistakes = mount_mistakes(f"{path}.match.path", pipeline.match.path)
    host = pipeline.match.host
    if host != host.lower() or "/" in host or re.search(r":\d+$", host):
        mistakes.append(Mistake(f"{path}.match.host", "a host name in lower case, without scheme or port"))
    if ":" in pipeline.title or pipeline.title == "app":
        mistakes.append(Mistake(f"{path}.name", "`app` and names with `:` are those of the default pipelines"))
    for index, handler in enumerate(pipeline.handlers):
        at = f"{path}.handlers[{index}]"
        if not _NAMED.fullmatch(handler):
            mistakes.append(Mistake(at, f"{handler!r} is no handler; write it like `plugin:handler`"))
        elif handler in pipeline.handlers[:index]:
            mistakes.append(Mistake(at, f"{handler} stands in this pipeline twice"))
    if pipeline.service == "app" and all.app is None:
        mistakes.append(Mistake(f"{path}.service", "there is no application: `[app] target` is missing"))
    elif pipeline.service not in ("", "app") and not _NAMED.fullmatch(pipeline.service):
        mistakes.append(Mistake(f"{path}.service", f"{pipeline.service!r} is neither `app` nor `plugin:service`"))
    for number, other in enumerate(earlier):
        if other.match == pipeline.match:
            mistakes.append(
                Mistake(f"{path}.match", f"{host}{pipeline.match.path} leads to $.pipelines[{number}] already")
            )
        elif other.title == pipeline.title:
            mistakes.append(Mistake(f"{path}.name", f"{pipeline.title} names $.pipelines[{number}] already"))
    return mistakes


def _warnings(settings: Settings) -> Iterator[Mistake]:
    if settings.deadlines.orphan == 0:
        yield Mistake("$.deadlines.orphan", "workers without a supervisor serve for ever and only a signal ends them")
    if settings.plugins.entries and not settings.plugins.dir:
        yield Mistake("$.plugins", "says things of plugins, but `plugins.dir` is not set: no plugin is loaded")
    if settings.drain.http > settings.deadlines.graceful:
        yield Mistake("$.drain.http", "is longer than `deadlines.graceful`, which ends a stopping worker first")
