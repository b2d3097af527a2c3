"""Which distributions are installed, by the names of their folders: those that an application was taken with."""

import os
import site
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

import msgspec

from changeover.workers.errors import ChangeoverError

FILE = "distributions.json"
"""The one file of the artifact in which a record of distributions is stored."""

_SUFFIXES = (".dist-info", ".egg-info")
_VERSIONED = (("METADATA",), ("PKG-INFO",), ())
"""What in a distribution's folder tells its version; the distribution may also be that file itself."""


class DistributionsDiffer(ChangeoverError):
    """What is installed is not what the application was taken with; the process must not mix the two.

    Attributes:
        differences: What differs, for people (`django 5.2 -> 6.0`).
    """

    def __init__(self, differences: tuple[str, ...]) -> None:
        self.differences = differences
        super().__init__(
            f"installed distributions changed since the application was taken: {', '.join(differences)}; "
            "install what was there, or take what is there now by a reload"
        )


class Distributions(msgspec.Struct, frozen=True):
    """What was installed at one moment.

    Attributes:
        path: The folders that were looked at, in the order of the import path.
        versions: Name of the distribution -> its version.
    """

    path: tuple[str, ...] = ()
    versions: dict[str, str] = {}

    @classmethod
    def found(cls, path: Iterable[str]) -> Self:
        """Look at folders; those that are not there have nothing."""
        folders = tuple(path)
        versions: dict[str, str] = {}
        for folder in folders:
            for _, name, version in installed(folder):
                versions.setdefault(name, version)
        return cls(folders, dict(sorted(versions.items())))

    def now(self) -> "Distributions":
        """What is installed in the same folders now."""
        return Distributions.found(self.path)

    def sources(self) -> Iterator[str]:
        """All that says what is installed: folders by what they contain, and files where a name has no version."""
        for folder in self.path:
            yield folder
            for entry in _entries(folder):
                if "-" not in os.path.splitext(entry)[0]:
                    yield from (os.path.join(folder, entry, *file) for file in _VERSIONED)

    def differing(self, other: "Distributions") -> tuple[str, ...]:
        """What `other` has that is not the same, for people: `a 1 -> 2`, `+ b 1`, `- c 1`."""
        return tuple(_differences(self.versions, other.versions))

    def require_unchanged(self) -> None:
        """Make sure that the same is installed now.

        Raises:
            DistributionsDiffer: It is not.
        """
        differences = self.differing(self.now())
        if differences:
            raise DistributionsDiffer(differences)

    def files(self) -> dict[str, bytes]:
        """As the files of an artifact."""
        return {FILE: msgspec.json.encode(self)}

    @classmethod
    def of_files(cls, files: Mapping[str, bytes]) -> Self:
        """Read back what `files` gave.

        Raises:
            KeyError: It is no such artifact.
            msgspec.DecodeError: It is no such artifact.
        """
        return msgspec.json.decode(files[FILE], type=cls)


def own_path() -> tuple[str, ...]:
    """Where distributions are installed for this interpreter, or would be, in the order of the import path."""
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    folders = (*(os.path.abspath(folder) for folder in named if folder), *user, *site.getsitepackages())
    return tuple(dict.fromkeys(folders))


def installed(folder: str) -> Iterator[tuple[str, str, str]]:
    """Each distribution in a folder: its own folder or file there, its name, and its version."""
    for entry in _entries(folder):
        name, _, version = os.path.splitext(entry)[0].partition("-")
        yield entry, _normal(name), version.partition("-")[0] or _version(Path(folder, entry))


def _entries(folder: str) -> list[str]:
    """The distributions in a folder, by the names that they have there."""
    try:
        entries = sorted(os.listdir(folder))
    except OSError:
        return []
    return [entry for entry in entries if _is_distribution(entry)]


def _is_distribution(entry: str) -> bool:
    return entry.endswith(_SUFFIXES) and not entry.startswith("~") and entry.isprintable()


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _version(entry: Path) -> str:
    """The version of what does not have it in its name; empty when it is not told."""
    for file in _VERSIONED:
        try:
            lines = entry.joinpath(*file).read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("Version:")), "")
    return ""


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield f"- {name} {old[name]}"
        elif name not in old:
            yield f"+ {name} {new[name]}"
        elif old[name] != new[name]:
            yield f"{name} {old[name]} -> {new[name]}"
