"""Reads what a plugin says about itself: `plugin.toml`, or the inline block of a single file.

The supervisor reads manifests and never the code. A single file carries its manifest as
`[tool.changeover]` in a `# /// script` block, the form of inline script metadata that the
packaging standard defines.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from changeover.workers.errors import ChangeoverError
from changeover.workers.plugins.manifest import MANIFEST, Manifest
from changeover.workers.plugins.manifest_mistakes import content_mistakes, metadata_mistakes
from changeover.workers.protocol import toml
from changeover.workers.protocol.document import Mistake, below, read

_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


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
    mistakes = metadata_mistakes(metadata)
    if mistakes:
        raise ManifestInvalid(file, mistakes)
    table = _with_dependencies(tool["changeover"], metadata.get("dependencies"))
    return _manifest(table, file, "$.tool.changeover", module=Path(file).stem)


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
        return toml.loads(text)
    except toml.NoToml as error:
        raise ManifestInvalid(file, [Mistake("$", f"no TOML: {error}")]) from error


def _with_dependencies(table: object, dependencies: object) -> object:
    """What the standard has at the top of the block counts as if it stood in our table too."""
    if not isinstance(dependencies, list) or not dependencies or not isinstance(table, dict):
        return table
    own = table.get("dependencies", [])
    return table | {"dependencies": [*dependencies, *own] if isinstance(own, list) else own}


def _manifest(raw: object, file: str, root: str, module: str) -> Manifest:
    mistakes: list[Mistake] = []
    manifest = read(_normalised(raw, root, mistakes), Manifest, mistakes, root)
    if manifest:
        mistakes += content_mistakes(manifest, root)
    if mistakes or manifest is None:
        raise ManifestInvalid(file, mistakes)
    home = manifest.plugin.partition(":")[0] or module or manifest.id.replace("-", "_")
    return msgspec.structs.replace(manifest, module=home)


def _normalised(raw: object, root: str, mistakes: list[Mistake]) -> object:
    """Write short forms out, and refuse what only we say."""
    if not isinstance(raw, dict):
        return raw
    table = dict(raw)
    if table.pop("module", None) is not None:
        mistakes.append(Mistake(below(root, "module"), "unknown key"))
    for key, empty in (("initializers", {}), ("selectors", {}), ("extensions", "")):
        if isinstance(names := table.get(key), list) and all(isinstance(name, str) for name in names):
            table[key] = dict.fromkeys(names, empty)
    short = {
        "handlers": _as("direction"),
        "services": _service,
        "initializers": _as("entry"),
        "selectors": _as("entry"),
    }
    for key, written_out in short.items():
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
