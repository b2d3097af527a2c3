"""Whatever tree of modules an application is, pinned imports find what imports from disk find."""

import importlib.machinery
import pkgutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from changeover.workers.pinned.content import PinnedContent
from changeover.workers.pinned.finder import PinnedFolder, path_hook
from changeover.workers.plugins.artifact import read_files

NAMES = st.sampled_from(["a", "b", "café", "data", "__init__"])
FOLDERS = st.lists(st.sampled_from(["a", "b", "c-d", "data"]), max_size=3)
FILES = st.builds(lambda folders, name, suffix: "/".join([*folders, name + suffix]),
                  FOLDERS, NAMES, st.sampled_from([".py", ".txt", ".pyc"]))  # fmt: skip


@contextmanager
def written(files: set[str]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in files:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        yield root


def spec_of(finder: PinnedFolder | importlib.machinery.FileFinder, name: str) -> tuple[object, ...] | None:
    """What tells modules apart, whoever loads them."""
    spec = finder.find_spec(name)
    if spec is None:
        return None
    below = spec.submodule_search_locations
    return spec.name, spec.origin, spec.has_location, spec.parent, None if below is None else list(below)


@settings(max_examples=150, deadline=None)
@given(files=st.sets(FILES, max_size=8))
def test_pinned_content_offers_what_the_disk_offers(files: set[str]) -> None:
    with written(files) as root:
        content = PinnedContent("digest", str(root), read_files(root))
        for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
            pinned = path_hook(content)(str(folder))
            disk = importlib.machinery.FileFinder(
                str(folder),
                (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
                (importlib.machinery.SourceFileLoader, importlib.machinery.SOURCE_SUFFIXES),
                (importlib.machinery.SourcelessFileLoader, importlib.machinery.BYTECODE_SUFFIXES),
            )
            for name in ("a", "b", "café", "data", "missing"):
                assert spec_of(pinned, f"app.{name}") == spec_of(disk, f"app.{name}"), (folder, name)
            assert list(pinned.iter_modules("x.")) == sorted(pkgutil.iter_importer_modules(disk, "x."))  # type: ignore[attr-defined]


@settings(max_examples=100, deadline=None)
@given(name=st.text(max_size=8), folder=st.text(max_size=8))
@example(name="", folder="\0")
def test_no_path_makes_the_hook_fail_otherwise_than_python_expects(name: str, folder: str) -> None:
    hook = path_hook(PinnedContent("digest", "/srv/app", {}))
    for path in (name, f"/srv/app/{folder}", f"/srv/app{name}", f"/srv/app/../{folder}"):
        try:
            finder = hook(path)
        except ImportError:
            continue
        assert isinstance(finder, PinnedFolder)
