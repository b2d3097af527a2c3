"""From a merged table to settings, or to everything that is wrong with it. Pure."""

from collections.abc import Callable
from typing import Any

import msgspec

from changeover.supervisor.config import hook_names, rules
from changeover.supervisor.config.channels import Tls
from changeover.supervisor.config.paths import default_name
from changeover.supervisor.config.settings import App, Pipeline, PipelineMatch, Plugins, Settings
from changeover.supervisor.config.sources import Merged
from changeover.supervisor.errors import SupervisorError
from changeover.workers.plugins.manifest import RESERVED
from changeover.workers.protocol.document import Mistake, read

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
        named: Whether somebody gave the service its name; otherwise it has that of its folder.
    """

    settings: Settings | None
    errors: tuple[ConfigError, ...] = ()
    warnings: tuple[ConfigError, ...] = ()
    file: str = ""
    named: bool = False

    def required(self) -> Settings:
        """The settings.

        Raises:
            ConfigInvalid: There are errors.
        """
        if self.settings is None:
            raise ConfigInvalid(self.errors)
        return self.settings


def judge(merged: Merged, ask: Callable[[Settings], list[Mistake]] = lambda _: []) -> Checked:
    """Read settings out of all sources together.

    Args:
        merged: The sources.
        ask: Finds what only the system knows to be wrong.
    """
    mistakes: list[Mistake] = list(merged.mistakes)
    named = bool(merged.table.get("name"))
    warnings = [ConfigError("environment", warning.path, warning.message) for warning in merged.warnings]
    if not mistakes:
        renamed: list[Mistake] = []
        table = _split_plugins(merged.table, mistakes)
        table = hook_names.translate(table, mistakes, renamed)
        warnings += [_located(warning, merged) for warning in renamed]
        settings = _completed(_read_areas(table, mistakes), merged)
        unreadable = tuple(mistake.path for mistake in mistakes)
        found = (*rules.mistakes(settings), *ask(settings))
        mistakes += (mistake for mistake in found if not mistake.path.startswith(unreadable))
        if not mistakes:
            warnings += [_located(warning, merged) for warning in (*merged.replaced, *rules.warnings(settings))]
            return Checked(settings, (), tuple(warnings), merged.file, named)
    errors = tuple(_located(mistake, merged) for mistake in mistakes)
    return Checked(None, errors, tuple(warnings), merged.file, named)


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

    def with_files(tls: Tls, *key: str) -> Tls:
        certificates = tuple(
            replace(each, certificate=resolved(each.certificate), key=resolved(each.key)) for each in tls.certificates
        )
        paths = {name: resolved(getattr(tls, name), *key, name) for name in ("certificate", "key", "client_ca")}
        return replace(tls, certificates=certificates, **paths)

    log = settings.access_log
    if log.file not in ("", "-", "auto"):
        log = replace(log, file=resolved(log.file, "access_log", "file"))
    app = settings.app and replace(settings.app, dir=resolved(settings.app.dir, "app", "dir"))
    return replace(
        settings,
        name=settings.name or default_name(merged.folder),
        python=resolved(settings.python, "python"),
        runtime_dir=resolved(settings.runtime_dir, "runtime_dir"),
        state_dir=resolved(settings.state_dir, "state_dir"),
        tls=with_files(settings.tls, "tls"),
        channels=tuple(
            each if each.tls is None else replace(each, tls=with_files(each.tls)) for each in settings.channels
        ),
        writable=tuple(resolved(folder, "writable") for folder in settings.writable),
        access_log=log,
        app=app,
        plugins=replace(
            settings.plugins,
            dir=resolved(settings.plugins.dir, "plugins", "dir"),
            keys=tuple(resolved(file, "plugins", "keys") for file in settings.plugins.keys),
        ),
    )
