"""Where plugins are, for code that runs in no server: a test, a script, a shell.

The same folder that a server would serve from: CHANGEOVER_PLUGINS_DIR says it, else the nearest
`changeover.toml` (or the one that CHANGEOVER_CONFIG names), else the nearest folder `plugins`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from changeover.workers.errors import ChangeoverError
from changeover.workers.protocol import toml

DIR_VARIABLE = "CHANGEOVER_PLUGINS_DIR"
CONFIG_VARIABLE = "CHANGEOVER_CONFIG"
CONFIG = "changeover.toml"
FOLDER = "plugins"


class PluginsUnknown(ChangeoverError):
    """No server runs this code, and nothing says where its plugins are.

    Attributes:
        start: The folder from which they were looked for.
    """

    def __init__(self, start: Path) -> None:
        self.start = start
        super().__init__(
            f"no server runs this code, and neither a {CONFIG} nor a folder `{FOLDER}` is in {start} or above it; "
            f"{DIR_VARIABLE} names the folder of plugins (empty for none)"
        )


class ConfigurationUnreadable(ChangeoverError):
    """The configuration that says where plugins are cannot be read.

    Attributes:
        file: Its name.
        reason: Why.
    """

    def __init__(self, file: Path, reason: str) -> None:
        self.file = file
        self.reason = reason
        super().__init__(f"{file}: {reason}")


class Whereabouts(msgspec.Struct, frozen=True):
    """A folder of plugins.

    Attributes:
        folder: Where it is; None where no plugin is served.
        configs: Plugin id -> its configuration.
    """

    folder: Path | None = None
    configs: dict[str, dict[str, Any]] = {}


class _Entry(msgspec.Struct, frozen=True):
    config: dict[str, Any] = {}


def find_plugins(environment: Mapping[str, str], start: Path) -> Whereabouts:
    """Find the folder of plugins.

    Args:
        environment: This process's.
        start: Its current folder.

    Raises:
        PluginsUnknown: There is none, and nobody said that there is none.
        ConfigurationUnreadable: What says where it is cannot be used.
    """
    said = environment.get(DIR_VARIABLE)
    file = _configuration(environment, start)
    if file is None:
        folder = _nearest(FOLDER, start) if said is None else _below(start, said)
        if said is None and folder is None:
            raise PluginsUnknown(start)
        return Whereabouts(folder)
    table = _plugins_of(file)
    folder = _below(file.parent, table.pop("dir", "")) if said is None else _below(start, said)
    return Whereabouts(folder, _configs(table, file))


def _configuration(environment: Mapping[str, str], start: Path) -> Path | None:
    named = environment.get(CONFIG_VARIABLE)
    return start / named if named else _nearest(CONFIG, start)


def _nearest(name: str, start: Path) -> Path | None:
    return next((folder / name for folder in (start, *start.parents) if (folder / name).exists()), None)


def _below(folder: Path, written: object) -> Path | None:
    return folder / str(written) if written else None


def _plugins_of(file: Path) -> dict[str, Any]:
    try:
        table = toml.loads(file.read_text("utf-8")).get("plugins", {})
    except (OSError, ValueError) as error:
        raise ConfigurationUnreadable(file, str(error)) from None
    if not isinstance(table, dict):
        raise ConfigurationUnreadable(file, "$.plugins is no table")
    return table


def _configs(table: Mapping[str, object], file: Path) -> dict[str, dict[str, Any]]:
    return dict(_entries(table, file))


def _entries(table: Mapping[str, object], file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for plugin, entry in table.items():
        if isinstance(entry, dict):
            try:
                yield plugin, msgspec.convert(entry, _Entry).config
            except msgspec.ValidationError as error:
                raise ConfigurationUnreadable(file, f"[plugins.{plugin}]: {error}") from None
