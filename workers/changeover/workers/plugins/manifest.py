"""What a plugin says about itself: `plugin.toml`, or the inline block of a single file.

The supervisor reads manifests and never the code. A single file carries its manifest as
`[tool.changeover]` in a `# /// script` block, the form of inline script metadata that the
packaging standard defines.
"""

import enum
import platform
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from changeover.workers.errors import ChangeoverError
from changeover.workers.protocol.document import Mistake, below, read
from changeover.workers.protocol.reload import DISABLED, read_reload

MANIFEST = "plugin.toml"
"""Name of the manifest in a plugin's folder."""
API = Version("1.0")
"""The plugin API that this version offers; a manifest's `api` range must admit it."""
RESERVED = frozenset({"app", "dir", "reload"})
"""Ids that the configuration uses for something else."""

_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_UNSUPPORTED = ("capabilities", "state", "self_test", "extensions")


class ManifestInvalid(ChangeoverError):
    """A manifest cannot be used as it stands.

    Attributes:
        file: The file that holds it.
        mistakes: Everything that is wrong with it.
    """

    def __init__(self, file: str, mistakes: list[Mistake]) -> None:
        self.file = file
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(f"{file}: {mistake}" for mistake in self.mistakes))


class Direction(enum.Enum):
    """Which way through a pipeline a handler sees."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    AROUND = "around"


class HandlerPhase(enum.Enum):
    """Where in a pipeline a handler belongs; phases follow each other in this order."""

    SECURITY = "security"
    CODEC = "codec"
    LIMIT = "limit"
    APP = "app"


class ServiceInterface(enum.Enum):
    """How a service is called."""

    NATIVE = "native"
    ASGI = "asgi"
    WSGI = "wsgi"


class Handler(msgspec.Struct, frozen=True):
    """A handler that the plugin offers to pipelines.

    Attributes:
        direction: Which way it sees.
        phase: Where it belongs.
        after: Handlers (`auth`, `authz:auth`) that must come before it where both are in one pipeline.
        before: Handlers that must come after it.
        entry: `module:name`; empty for the attribute of the handler's own name (see `Manifest.entry`).
    """

    direction: Direction
    phase: HandlerPhase = HandlerPhase.APP
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    entry: str = ""


class ServiceDeclaration(msgspec.Struct, frozen=True):
    """A service that the plugin offers.

    Attributes:
        entry: `module:name`; empty for the attribute of the service's own name (see `Manifest.entry`).
        interface: How it is called.
        mount: The path that the plugin proposes; empty for none.
    """

    entry: str = ""
    interface: ServiceInterface = ServiceInterface.NATIVE
    mount: str = ""


class InitializerDeclaration(msgspec.Struct, frozen=True):
    """An initializer that the plugin offers to channels.

    Attributes:
        entry: `module:name`; empty for the attribute of the initializer's own name (see `Manifest.entry`).
    """

    entry: str = ""


class Resource(msgspec.Struct, frozen=True):
    """Files that are the plugin's content without being code.

    Attributes:
        path: A glob below the plugin's folder.
        reload: When changed files are taken, as for `reload` in the configuration; empty: as the plugin.
    """

    path: str
    reload: str = ""


Declared = Handler | ServiceDeclaration | InitializerDeclaration | Resource


class Entry(msgspec.Struct, frozen=True):
    """Where a handler, service or initializer is found.

    Attributes:
        module: The module to import from the artifact.
        attribute: Dotted name in it, or on the plugin's instance.
        on_instance: Whether `attribute` is looked up on the plugin's instance, and not in `module`.
    """

    module: str
    attribute: str
    on_instance: bool = False


class Manifest(msgspec.Struct, frozen=True):
    """A manifest that was found sound.

    Attributes:
        id: Names the plugin everywhere: configuration, pipelines, units.
        version: As the packaging standard reads versions.
        api: Range of the plugin API that it works with; empty for any.
        summary: One line for people.
        requires: Plugin id -> range of versions it needs.
        plugin: `module:Class` with the hooks; empty for a stateless plugin.
        config: `module:Struct` that its configuration is converted to; empty when it takes none.
        handlers: By name.
        services: By name.
        initializers: By name.
        resources: By name.
        module: Where attributes without an entry are looked up: the class's module; for a stateless plugin the
            single file, or the module in the folder that is named like the plugin (`-` read as `_`).
    """

    id: str
    version: str
    api: str = ""
    summary: str = ""
    requires: dict[str, str] = {}
    plugin: str = ""
    config: str = ""
    handlers: dict[str, Handler] = {}
    services: dict[str, ServiceDeclaration] = {}
    initializers: dict[str, InitializerDeclaration] = {}
    resources: dict[str, Resource] = {}
    module: str = ""

    def entry(self, name: str, written: str) -> Entry:
        """Resolve the entry of a handler, service or initializer.

        Args:
            name: Its name in the manifest; `-` is read as `_`.
            written: Its `entry`, which may be empty.
        """
        if written:
            module, _, attribute = written.partition(":")
            return Entry(module, attribute)
        return Entry(self.module, name.replace("-", "_"), on_instance=bool(self.plugin))


def read_toml(text: str, file: str) -> Manifest:
    """Read the text of a `plugin.toml`.

    Args:
        text: Its content.
        file: Its name, for messages.

    Raises:
        ManifestInvalid: With every mistake in it.
    """
    return _manifest(_parse(text, file), file, "$", module="")


def read_script(text: str, file: str) -> Manifest | None:
    """Read the inline block of a single-file plugin.

    Args:
        text: The whole source file.
        file: Its name, for messages; its stem is the module's name.

    Returns:
        None when the file has no `[tool.changeover]` and so is no plugin.

    Raises:
        ManifestInvalid: The block is there and cannot be used.
    """
    text = text.replace("\r\n", "\n")
    blocks = [match for match in _BLOCK.finditer(text) if match["type"] == "script"]
    if not blocks:
        return None
    if len(blocks) > 1:
        raise ManifestInvalid(file, [Mistake("$", f"{len(blocks)} `# /// script` blocks: one is allowed")])
    above = "\n" * text.count("\n", 0, blocks[0].start("content"))  # so that mistakes are told with the file's lines
    commented = blocks[0]["content"].splitlines(keepends=True)
    lines = (line[2:] if line.startswith("# ") else line[1:] for line in commented)
    metadata = _parse(above + "".join(lines), file)
    tool = metadata.get("tool")
    if not isinstance(tool, dict) or "changeover" not in tool:
        return None
    mistakes = _metadata_mistakes(metadata)
    if mistakes:
        raise ManifestInvalid(file, mistakes)
    return _manifest(tool["changeover"], file, "$.tool.changeover", module=Path(file).stem)


def load(directory: Path) -> Manifest:
    """Read the manifest of a plugin's folder or artifact: its `plugin.toml`, or its one file with a block.

    Raises:
        ManifestInvalid: There is none, or it cannot be used.
        OSError: It cannot be read.
    """
    manifest = directory / MANIFEST
    if manifest.is_file():
        return read_toml(_decoded(manifest), str(manifest))
    for source in sorted(directory.glob("*.py")):
        single = read_script(_decoded(source), str(source))
        if single:
            return single
    raise ManifestInvalid(str(directory), [Mistake("$", f"no {MANIFEST}, and no file with a [tool.changeover] block")])


def _decoded(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ManifestInvalid(str(file), [Mistake("$", f"not UTF-8: {error.reason} at byte {error.start}")]) from error


def _parse(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ManifestInvalid(file, [Mistake("$", f"no TOML: {error}")]) from error


def _metadata_mistakes(metadata: Mapping[str, Any]) -> list[Mistake]:
    mistakes = []
    if metadata.get("dependencies"):
        reason = "not supported by this version: install them where the workers run, and leave them out here"
        mistakes.append(Mistake("$.dependencies", reason))
    python = metadata.get("requires-python", "")
    mistakes += _range_mistakes("$.requires-python", python)
    if not mistakes and not SpecifierSet(python).contains(platform.python_version(), prereleases=True):
        mistakes.append(Mistake("$.requires-python", f"Python {platform.python_version()} is not in {python}"))
    return mistakes


def _manifest(raw: object, file: str, root: str, module: str) -> Manifest:
    mistakes: list[Mistake] = []
    manifest = read(_normalised(raw, root, mistakes), Manifest, mistakes, root)
    if manifest:
        mistakes += _content_mistakes(manifest, root)
    if mistakes or manifest is None:
        raise ManifestInvalid(file, mistakes)
    home = manifest.plugin.partition(":")[0] or module or manifest.id.replace("-", "_")
    return msgspec.structs.replace(manifest, module=home)


def _normalised(raw: object, root: str, mistakes: list[Mistake]) -> object:
    """Write short forms out, and refuse what is known but not offered."""
    if not isinstance(raw, dict):
        return raw
    table = dict(raw)
    for key in (*_UNSUPPORTED, "module"):
        if key in table and table.pop(key) is not None:
            unknown = "unknown key" if key == "module" else "not supported by this version; leave it out"
            mistakes.append(Mistake(below(root, key), unknown))
    if isinstance(names := table.get("initializers"), list) and all(isinstance(name, str) for name in names):
        table["initializers"] = {name: {} for name in names}
    for key, written_out in (("handlers", _as("direction")), ("services", _service), ("initializers", _as("entry"))):
        entries = table.get(key)
        if isinstance(entries, dict):
            table[key] = {name: written_out(entry) for name, entry in entries.items()}
    return table


def _as(field: str) -> Callable[[object], object]:
    return lambda entry: {field: entry} if isinstance(entry, str) else entry


def _service(entry: object) -> object:
    if isinstance(entry, str):
        return {"mount": entry} if entry.startswith("/") else {"entry": entry}
    return entry


def _content_mistakes(manifest: Manifest, root: str) -> list[Mistake]:
    mistakes: list[Mistake] = []
    if manifest.id in RESERVED or not _NAME.fullmatch(manifest.id):
        mistakes.append(Mistake(f"{root}.id", _bad_name(manifest.id)))
    try:
        Version(manifest.version)
    except InvalidVersion:
        mistakes.append(Mistake(f"{root}.version", f"{manifest.version!r} is no version; write it like 1.5.0"))
    mistakes += _range_mistakes(f"{root}.api", manifest.api)
    if not mistakes and API not in SpecifierSet(manifest.api, prereleases=True):
        mistakes.append(Mistake(f"{root}.api", f"this version offers plugin API {API}, which is not in {manifest.api}"))
    for required, wanted in manifest.requires.items():
        mistakes += _range_mistakes(below(f"{root}.requires", required), wanted)
    for key in ("plugin", "config"):
        mistakes += _entry_mistakes(f"{root}.{key}", getattr(manifest, key))
    for kind in ("handlers", "services", "initializers", "resources"):
        for name, declared in getattr(manifest, kind).items():
            mistakes += _declared_mistakes(below(f"{root}.{kind}", name), name, declared)
    return mistakes


def _declared_mistakes(path: str, name: str, declared: Declared) -> list[Mistake]:
    mistakes = [] if _NAME.fullmatch(name) else [Mistake(path, _bad_name(name))]
    if isinstance(declared, Resource):
        if declared.path.startswith("/") or ".." in declared.path.split("/") or not declared.path:
            mistakes.append(Mistake(f"{path}.path", "a glob below the plugin's folder, without `..`"))
        return mistakes + (reload_mistakes(f"{path}.reload", declared.reload) if declared.reload else [])
    service = isinstance(declared, ServiceDeclaration)
    mistakes += _entry_mistakes(f"{path}.entry", declared.entry, "; a mount begins with `/`" if service else "")
    if isinstance(declared, ServiceDeclaration) and declared.mount:
        mistakes += mount_mistakes(f"{path}.mount", declared.mount)
    return mistakes


def reload_mistakes(path: str, written: str) -> list[Mistake]:
    """Say what is wrong with when the content of a part is taken: no part can be disabled by itself."""
    try:
        disabled = read_reload(written) == DISABLED
    except ValueError as error:
        return [Mistake(path, str(error))]
    return (
        [Mistake(path, "cannot be disabled by itself; write on-change, on-signal, or `every 60s`")] if disabled else []
    )


def mount_mistakes(path: str, mount: str) -> list[Mistake]:
    """Say what is wrong with a path that routes lead from.

    Args:
        path: Where `mount` stands in its document.
        mount: `/`, or `/prices` without a slash at its end.
    """
    if (
        not mount.startswith("/")
        or (mount != "/" and mount.endswith("/"))
        or any(c in mount for c in "?#*")
        or "//" in mount
    ):
        return [
            Mistake(path, f"{mount!r} is no path; it starts with `/`, ends without, and has no `?`, `#`, `*`, `//`")
        ]
    return []


def _entry_mistakes(path: str, entry: str, hint: str = "") -> list[Mistake]:
    if not entry or _ENTRY.fullmatch(entry):
        return []
    return [Mistake(path, f"{entry!r} is no entry; write it like `package.module:Name`{hint}")]


def _range_mistakes(path: str, wanted: str) -> list[Mistake]:
    try:
        SpecifierSet(wanted)
    except (InvalidSpecifier, TypeError, AttributeError):
        return [Mistake(path, f"{wanted!r} is no range of versions; write it like `>=2.1,<3`")]
    return []


def _bad_name(name: str) -> str:
    if name in RESERVED:
        return f"{name!r} is taken by the configuration; choose another"
    return f"{name!r} is no name: lower-case letters, digits, `-` and `_`, a letter first"
