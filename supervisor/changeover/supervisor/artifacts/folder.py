"""Read a folder of plugins: what is there now, whole or not at all."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from changeover.supervisor.artifacts.problems import Problem, of_manifest
from changeover.supervisor.artifacts.settled import QUIET, TRIES, latest_change, settled
from changeover.workers.plugins.artifact import (
    SIGNATURE,
    UnreadableArtifact,
    content_folders,
    digest_of,
    read_files,
)
from changeover.workers.plugins.globs import compiled
from changeover.workers.plugins.manifest import MANIFEST, Manifest
from changeover.workers.plugins.manifest_reading import ManifestInvalid, read_script, read_toml
from changeover.workers.plugins.wheel import SUFFIX, read_wheel
from changeover.workers.protocol.document import Mistake
from changeover.workers.protocol.refusal import Fault

_BESIDE = ".sig.json"
_LONGEST_SIGNATURE = 64 * 1024


class Found(msgspec.Struct, frozen=True):
    """A plugin as it lies in the folder.

    Attributes:
        path: Its folder or file.
        file: Where its manifest stands.
        manifest: What it says of itself.
        files: Its content: name -> bytes.
        digest: Of its content.
        signature: What stands in its signature's file, which is no content; empty where there is none.
        distribution: `name==version` of the installed distribution that announces it; empty for none.
    """

    path: str
    file: str
    manifest: Manifest
    files: dict[str, bytes]
    digest: str
    signature: bytes = b""
    distribution: str = ""


class Listing(msgspec.Struct, frozen=True):
    """Everything in the folder, and what installed distributions announce.

    Attributes:
        plugins: By id, in the order of the ids.
        problems: Folder or file -> what keeps it from being a plugin.
        ignored: Folder or file that is no plugin -> why.
        unasked: Whether nobody asked what installed distributions announce: what serves of that stays.
    """

    plugins: dict[str, Found] = {}
    problems: dict[str, tuple[Problem, ...]] = {}
    ignored: dict[str, str] = {}
    unasked: bool = False


def read_folder(folder: Path) -> Listing:
    """Read every plugin in `folder`. Blocks on the disk, and for as long as somebody is writing (about 0.5 s at most).

    Args:
        folder: Folders with a `plugin.toml`, wheels, and single files with an inline block are plugins.
    """
    plugins: dict[str, Found] = {}
    problems: dict[str, tuple[Problem, ...]] = {}
    ignored: dict[str, str] = {}
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__")))
        signatures = set(map(signature_of, paths))
    except OSError as error:
        reason = f"this folder of plugins cannot be read: {error.strerror}; `--plugins` or [plugins] dir names it"
        return Listing(problems={str(folder): (Problem(reason, str(folder), fault=Fault.RESOURCE),)})
    for path in filter(lambda path: path not in signatures, paths):
        if not _is_text(path.name):
            problems[str(path)] = (Problem("its name is not UTF-8; rename it", str(path)),)
            continue
        if path.is_symlink() and not path.exists():
            problems[str(path)] = (Problem("a link that leads nowhere; mend or remove it", str(path)),)
            continue
        try:
            found = read_plugin(path)
        except ManifestInvalid as error:
            problems[str(path)] = of_manifest(error)
        except UnreadableArtifact as error:
            problems[str(path)] = (Problem(error.reason, str(error.path), fault=Fault.RESOURCE),)
        else:
            if found is None:
                ignored[str(path)] = _why_ignored(path)
            elif found.manifest.id in plugins:
                problems[str(path)] = (_same_id(found, plugins[found.manifest.id]),)
            else:
                plugins[found.manifest.id] = found
    return Listing(dict(sorted(plugins.items())), problems, ignored)


def read_plugin(path: Path) -> Found | None:
    """Read one plugin.

    Args:
        path: A folder, a wheel, or a file.

    Returns:
        None when it is no plugin.

    Raises:
        ManifestInvalid: It is one, and its manifest cannot be used.
        UnreadableArtifact: It cannot be read, or somebody does not stop writing it.
    """
    single = path.is_file()
    if single and path.suffix == SUFFIX:
        return _read_wheel(path)
    if (single and path.suffix != ".py") or not (single or (path / MANIFEST).is_file()):
        return None
    files = read_settled(path)
    signature = _beside(path) if single else _inside(files)
    file = path if single else path / MANIFEST
    content = files.get(path.name if single else MANIFEST)
    if content is None:
        return None
    text = _text(content, str(file))
    manifest = read_script(text, str(file)) if single else read_toml(text, str(file))
    if manifest is None:
        return None
    if missing := list(_single_mistakes(manifest) if single else _content_mistakes(manifest, files)):
        raise ManifestInvalid(str(file), missing)
    return Found(str(path), str(file), manifest, files, digest_of(files), signature)


def signature_of(path: Path) -> Path:
    """Where the signature of a plugin lies: in its folder, or beside its file."""
    return path / SIGNATURE if path.is_dir() else path.with_name(f"{path.name}{_BESIDE}")


def _beside(path: Path) -> bytes:
    file = signature_of(path)
    try:
        with file.open("rb") as opened:
            return opened.read(_LONGEST_SIGNATURE)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise UnreadableArtifact(file, error.strerror or str(error)) from error


def _inside(files: dict[str, bytes]) -> bytes:
    return files.pop(SIGNATURE, b"")[:_LONGEST_SIGNATURE]


def _read_wheel(path: Path) -> Found:
    archive = read_settled(path).get(path.name)
    if archive is None:
        raise UnreadableArtifact(path, "was a file, and is a folder now; reload when it is what it is to be")
    files = read_wheel(archive, str(path))
    inside = _inside(files)
    file = f"{path}/{MANIFEST}"
    manifest = read_toml(_text(files[MANIFEST], file), file)
    if missing := list(_content_mistakes(manifest, files)):
        raise ManifestInvalid(file, missing)
    return Found(str(path), file, manifest, files, digest_of(files), _beside(path) or inside)


def read_settled(path: Path, tries: int = TRIES, quiet: float = QUIET) -> dict[str, bytes]:
    """Read files that nobody is writing, as `settled` does.

    Args:
        path: A folder or a file.
        tries: How often to read again.
        quiet: Seconds.

    Raises:
        UnreadableArtifact: They cannot be read, or go on changing.
    """
    return settled(path, partial(read_files, path), lambda: latest_change(_content_of(path)), tries, quiet)


def _content_of(path: Path) -> Iterator[Path]:
    """A folder or file with all that is content below it: whoever writes something else there keeps nobody waiting."""
    yield path
    for folder, names in content_folders(path):
        yield folder
        yield from map(folder.joinpath, names)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ManifestInvalid(file, [Mistake("$", f"not UTF-8: {error.reason} at byte {error.start}")]) from error


def _single_mistakes(manifest: Manifest) -> Iterator[Mistake]:
    for name in manifest.resources:
        yield Mistake(f"$.tool.changeover.resources.{name}", "a single file has no resources; make it a folder")
    if manifest.packages:
        yield Mistake("$.tool.changeover.packages", "a single file has no packages; make it a folder")


def _content_mistakes(manifest: Manifest, files: Iterable[str]) -> Iterator[Mistake]:
    for name, resource in manifest.resources.items():
        if not any(map(compiled([resource.path]).fullmatch, files)):
            yield Mistake(f"$.resources.{name}.path", f"no file matches {resource.path}")
    if manifest.packages and not any(name.startswith(f"{manifest.packages}/") for name in files):
        yield Mistake("$.packages", f"no file lies in {manifest.packages}")


def _same_id(found: Found, other: Found) -> Problem:
    plugin = found.manifest.id
    return Problem(f"{plugin} is the id of {other.path} already", found.file, "$.id", Fault.CONTRACT, plugin)


def _why_ignored(path: Path) -> str:
    if path.is_dir():
        return f"no {MANIFEST} in it"
    return "no [tool.changeover] block in it" if path.suffix == ".py" else "no folder, wheel or Python file"
