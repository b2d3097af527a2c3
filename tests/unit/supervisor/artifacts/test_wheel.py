"""A wheel in the folder of plugins is a plugin like its folder would be, and nothing in it leads elsewhere."""

import stat
import tracemalloc
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from changeover.supervisor.artifacts.folder import read_folder, read_plugin
from changeover.supervisor.artifacts.lost import with_lost
from changeover.testing import SimulatedWorker
from changeover.workers.plugins import artifact, wheel
from changeover.workers.plugins.artifact import digest_of
from changeover.workers.plugins.manifest_reading import ManifestInvalid
from changeover.workers.plugins.wheel import read_wheel
from changeover.workers.protocol.snapshot import PluginSpec, UnitKey, UnitKind, UnitRef

TOML = 'id = "geo"\nversion = "1.3"\n'
RECORD = "geo-1.3.dist-info/RECORD"
NAME = "geo-1.3-py3-none-any.whl"


def packed(files: dict[str, str], how: int = zipfile.ZIP_DEFLATED, year: int = 1980) -> bytes:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", how) as wheel:
        for name, text in files.items():
            wheel.writestr(zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0)), text, how)
    return archive.getvalue()


def refused(archive: bytes) -> str:
    with pytest.raises(ManifestInvalid) as caught:
        read_wheel(archive, NAME)
    return str(caught.value)


def test_a_manifest_may_stand_at_the_top_or_in_the_one_package() -> None:
    top = read_wheel(packed({"plugin.toml": TOML, "geo.py": "x = 1", RECORD: ""}), NAME)
    assert top == {"plugin.toml": TOML.encode(), "geo.py": b"x = 1"}
    inside = read_wheel(packed({"geo/__init__.py": "", "geo/plugin.toml": TOML, RECORD: ""}), NAME)
    assert inside == {"geo/__init__.py": b"", "geo/plugin.toml": TOML.encode(), "plugin.toml": TOML.encode()}


def test_how_it_is_packed_is_no_content() -> None:
    files = {"plugin.toml": TOML, "geo.py": "x = 1"}
    one = packed(files, zipfile.ZIP_STORED, 1999)
    other = packed({**dict(reversed(files.items())), RECORD: "x", "__pycache__/geo.pyc": "x", ".hidden": "x"})
    assert one != other
    assert digest_of(read_wheel(one, NAME)) == digest_of(read_wheel(other, NAME))


def test_what_is_stored_of_it_is_what_it_was_named_by(tmp_path: Path) -> None:
    files = read_wheel(packed({"plugin.toml": TOML, "geo/a.py~": "", "geo/.x/y": "", "geo/a.py": ""}), NAME)
    assert artifact.get(tmp_path, artifact.put(tmp_path, files)) == files


@pytest.mark.parametrize(
    "name", ["../geo.py", "/geo.py", "geo/../../x.py", "geo//x.py", "geo\\x.py", "./x.py", "x\n.py", "x" * 256]
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    assert f"{name!r} is no name of a file in it" in refused(packed({"plugin.toml": TOML, name: ""}))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_is_in_it_twice_is_refused() -> None:
    archive = BytesIO(packed({"plugin.toml": TOML}))
    with zipfile.ZipFile(archive, "a") as added:
        added.writestr("plugin.toml", TOML)
    assert "'plugin.toml' is in it twice" in refused(archive.getvalue())
    assert "'geo' is a file and a folder" in refused(packed({"plugin.toml": TOML, "geo": "", "geo/a.py": ""}))


def test_links_are_refused() -> None:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        link = zipfile.ZipInfo("geo.py")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "/etc/passwd")
    assert "'geo.py' is no file: wheels have no links" in refused(archive.getvalue())


def test_what_is_too_large_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = packed({"plugin.toml": TOML, "zeros.txt": "0" * 100_000})
    assert len(archive) < 1_000
    monkeypatch.setattr(wheel, "MAX_BYTES", 50_000)
    monkeypatch.setattr("zipfile.ZipFile.open", None)
    assert "holds more than 50000 bytes" in refused(archive)
    monkeypatch.setattr(wheel, "_MOST_FILES", 1)
    assert "holds more than 1 files" in refused(archive)


def test_a_size_that_is_a_lie_unpacks_no_more_than_it_says() -> None:
    archive = packed({"plugin.toml": TOML, "zeros.txt": "0" * 100_000})
    size = (100_000).to_bytes(4, "little")
    assert archive.count(size) == 2
    assert "no whole wheel" in refused(archive.replace(size, (10).to_bytes(4, "little")))


def peak_of(archive: bytes) -> int:
    """Most bytes that were taken while it was read, and refused."""
    tracemalloc.start()
    try:
        refused(archive)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_no_lie_about_sizes_takes_memory() -> None:
    archive = packed({"plugin.toml": TOML, "zeros.txt": "0" * 20_000_000})
    size = (20_000_000).to_bytes(4, "little")
    assert peak_of(archive.replace(size, (10).to_bytes(4, "little"))) < 1_000_000


def test_names_that_lead_far_down_take_no_memory() -> None:
    archive = packed({"plugin.toml": TOML, "a/" * 32_000 + "x": ""})
    assert peak_of(archive) < 2_000_000


def test_a_list_of_files_that_is_too_long_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = packed({"plugin.toml": TOML, **dict.fromkeys(map(str, range(100)), "")})
    monkeypatch.setattr("zipfile.ZipFile.__init__", None)
    monkeypatch.setattr(wheel, "_MOST_FILES", 100)
    few = (5).to_bytes(2, "little")
    assert "holds more than 100 files" in refused(archive)
    assert "holds more than 100 files" in refused(archive.replace((101).to_bytes(2, "little") * 2, few * 2))
    assert "holds more than 100 files" in refused(archive[:-2] + b"\x05\0hello")
    monkeypatch.setattr(wheel, "_LARGEST_DIRECTORY", 100)
    assert "has more than 100 bytes of names" in refused(archive)


def test_an_archive_with_room_for_more_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zipfile.ZIP_FILECOUNT_LIMIT", 0)
    assert "is packed for sizes (zip64)" in refused(packed({"plugin.toml": TOML}))


@pytest.mark.parametrize("archive", [b"", b"x" * 500, packed({"plugin.toml": TOML})[:-30]])
def test_what_is_no_wheel_says_so(archive: bytes) -> None:
    assert refused(archive).startswith(f"{NAME}: $: no whole wheel: ")


def test_data_for_elsewhere_and_other_packings_are_refused() -> None:
    assert "would be installed elsewhere" in refused(packed({"plugin.toml": TOML, "geo-1.3.data/scripts/x": ""}))
    assert "packed in a way that wheels are not" in refused(packed({"plugin.toml": TOML}, zipfile.ZIP_LZMA))


def test_a_wheel_is_one_plugin() -> None:
    assert "no plugin.toml at its top or in its package" in refused(packed({"geo/x/plugin.toml": TOML}))
    assert "2 packages have a plugin.toml" in refused(packed({"a/plugin.toml": TOML, "b/plugin.toml": TOML}))


def test_the_folder_of_plugins_has_it_like_any_other(tmp_path: Path) -> None:
    toml = TOML + '[resources]\nrules = { path = "geo/rules/**/*.toml" }\n'
    files = {"geo/__init__.py": "", "geo/plugin.toml": toml, "geo/rules/eu/a.toml": ""}
    (tmp_path / NAME).write_bytes(packed(files))
    found = read_folder(tmp_path).plugins["geo"]
    assert (found.path, found.file) == (str(tmp_path / NAME), f"{tmp_path / NAME}/plugin.toml")
    assert (found.manifest.version, found.manifest.module) == ("1.3", "geo")
    (tmp_path / NAME).write_bytes(packed({**files, "geo/rules/eu/a.toml": "", "plugin.toml": toml.replace("geo/", "")}))
    [[problem]] = read_folder(tmp_path).problems.values()
    assert (problem.path, problem.message) == ("$.resources.rules.path", "no file matches rules/**/*.toml")


def test_a_wheel_that_is_broken_now_does_not_remove_its_plugin(tmp_path: Path) -> None:
    files = {"plugin.toml": TOML.encode()}
    digest = artifact.put(tmp_path / "store", files)
    serving = PluginSpec(UnitKey(UnitRef(UnitKind.PLUGIN, "geo"), "d", 1), "1.3", digest)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / NAME).write_bytes(b"half")
    listing = with_lost(read_folder(tmp_path / "plugins"), {"geo": serving}, tmp_path / "store")
    [[problem]] = listing.problems.values()
    assert problem.plugin == "geo"


@pytest.mark.parametrize(
    ("glob", "matches"),
    [
        ("rules/*.toml", ["rules/a.toml"]),
        ("rules/**/*.toml", ["rules/a.toml", "rules/eu/b.toml"]),
        ("rules/**", ["rules/a.toml", "rules/eu/b.toml"]),
        ("**/b.toml", ["rules/eu/b.toml"]),
        ("r?les/a.toml", ["rules/a.toml"]),
        ("[r]ules/a.toml", []),
        ("rules", []),
    ],
)
def test_globs_mean_the_same_in_a_folder_in_a_wheel_and_in_a_worker(
    tmp_path: Path, glob: str, matches: list[str]
) -> None:
    toml = TOML + OFFERED + f'resources.rules = {{ path = "{glob}" }}\n'
    files = {"plugin.toml": toml, "geo.py": PATHS, "rules/a.toml": "", "rules/eu/b.toml": ""}
    for name, text in files.items():
        (tmp_path / "geo" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "geo" / name).write_text(text)
    (tmp_path / NAME).write_bytes(packed(files))
    for path in (tmp_path / "geo", tmp_path / NAME):
        if not matches:
            with pytest.raises(ManifestInvalid, match=r"\$\.resources\.rules\.path: no file matches"):
                read_plugin(path)
            continue
        assert read_plugin(path) is not None
        with SimulatedWorker(path) as worker:
            [paths] = worker.extension("paths")
            assert paths() == matches


OFFERED = 'plugin = "geo:Geo"\nextensions = { "paths" = "geo:Geo.paths" }\n'
PATHS = """
from changeover.plugin import Plugin

class Geo(Plugin[None]):
    def on_load(self, ctx):
        root = __file__.removesuffix("geo.py")
        self.found = [str(path).removeprefix(root) for path in ctx.resource("rules").paths]

    def paths(self):
        return self.found
"""
