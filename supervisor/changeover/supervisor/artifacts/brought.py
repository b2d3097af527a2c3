"""Which distributions a plugin has of its own, in the folder that its manifest names as `packages`. Pure."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from packaging.utils import canonicalize_name

_METADATA = (".dist-info", ".egg-info")


def brought(packages: str, names: Iterable[str]) -> dict[str, str]:
    """Name -> version of what lies there, as `pip install --target` leaves it; a bare package has no version.

    Args:
        packages: The folder; empty for none.
        names: Of the plugin's files.
    """
    found: dict[str, str] = {}
    folder = PurePosixPath(packages)
    for path in map(PurePosixPath, names) if packages else ():
        if folder not in path.parents:
            continue
        first = PurePosixPath(path.relative_to(folder).parts[0])
        if first.suffix in _METADATA:
            name, _, version = first.stem.partition("-")
            found[canonicalize_name(name)] = version.partition("-")[0]
        else:
            found.setdefault(canonicalize_name(first.name.partition(".")[0]), "")
    return found
