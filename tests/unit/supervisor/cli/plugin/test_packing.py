"""`changeover plugin pack`: the wheel is the plugin that its folder is, byte for byte the same each time."""

import base64
import hashlib
import os
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from changeover.supervisor.artifacts.folder import read_folder, read_plugin
from changeover.supervisor.artifacts.trust import untrusted
from changeover.supervisor.cli import main
from changeover.supervisor.cli.exits import Exit
from tests.plugin_folder import PluginFolder
from tests.unit.supervisor.cli.plugin.test_signing import plugins, sign

__all__ = ["plugins"]

MORE = """summary = "Where\\nthings are"
dependencies = ["numpy >=2,<3"]
packages = "vendor"
resources = { rules = { path = "rules/**/*.toml" } }
"""


def pack(path: Path, into: Path) -> Result:
    return CliRunner().invoke(main, ["plugin", "pack", str(path), "-o", str(into)])


def geo(plugins: PluginFolder) -> Path:
    """A folder with everything that content may be, and with what is none."""
    folder = plugins.folder("my-geo", "1.3.0rc1", MORE, geo="import lib")
    for name in (
        "rules/eu/a.toml",
        "vendor/lib.py",
        "vendor/lib-2.dist-info/METADATA",
        "a,b.txt",
        ".git/HEAD",
        "x.pyc",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_what_is_read_out_of_it_is_what_was_packed(plugins: PluginFolder, tmp_path: Path) -> None:
    folder = geo(plugins)
    found = read_plugin(folder)
    assert found is not None
    done = pack(folder, tmp_path / "new" / "dist")
    wheel = tmp_path / "new" / "dist" / "my_geo-1.3.0rc1-py3-none-any.whl"
    assert done.output == f"packed my-geo 1.3.0rc1 with content {found.digest[:12]}: {wheel}\n"
    assert [path.name for path in wheel.parent.iterdir()] == [wheel.name]
    again = read_plugin(wheel)
    assert again is not None
    assert (again.digest, again.files, again.manifest) == (found.digest, found.files, found.manifest)
    assert not {".git/HEAD", "x.pyc"} & again.files.keys()


def test_the_same_content_gives_the_same_bytes(plugins: PluginFolder, tmp_path: Path) -> None:
    folder = geo(plugins)
    pack(folder, tmp_path / "one")
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    folder.rename(tmp_path / "elsewhere")
    pack(tmp_path / "elsewhere", tmp_path / "two")
    [one], [two] = (tmp_path / "one").iterdir(), (tmp_path / "two").iterdir()
    assert one.read_bytes() == two.read_bytes()


def test_it_is_a_wheel_as_the_standard_has_it(plugins: PluginFolder, tmp_path: Path) -> None:
    pack(geo(plugins), tmp_path)
    with zipfile.ZipFile(tmp_path / "my_geo-1.3.0rc1-py3-none-any.whl") as wheel:
        assert {(member.date_time, member.external_attr >> 16) for member in wheel.infolist()} == {
            ((1980, 1, 1, 0, 0, 0), 0o100644)
        }
        assert {member.compress_type for member in wheel.infolist()} == {zipfile.ZIP_STORED}
        info = "my_geo-1.3.0rc1.dist-info"
        assert wheel.read(f"{info}/METADATA").decode().splitlines() == [
            "Metadata-Version: 2.1",
            "Name: my-geo",
            "Version: 1.3.0rc1",
            "Summary: Where things are",
            "Requires-Dist: numpy<3,>=2",
        ]
        assert b"Root-Is-Purelib: true\nTag: py3-none-any\n" in wheel.read(f"{info}/WHEEL")
        *recorded, own = wheel.read(f"{info}/RECORD").decode().splitlines()
        assert own == f"{info}/RECORD,,"
        assert len(recorded) == len(wheel.namelist()) - 1
        digest = base64.urlsafe_b64encode(hashlib.sha256(b"a,b.txt").digest()).decode().rstrip("=")
        assert f'"a,b.txt",sha256={digest},7' in recorded


def test_a_signature_goes_along_and_holds(plugins: PluginFolder, tmp_path: Path) -> None:
    folder = plugins.folder("geo", "1.0")
    assert sign(folder, tmp_path / "key.pem").exit_code == 0
    pack(folder, tmp_path / "dist")
    listing = read_folder(tmp_path / "dist")
    assert list(untrusted(listing.plugins.values(), (str(tmp_path / "public.pem"),))) == []


def test_native_modules_make_it_one_for_this_interpreter(plugins: PluginFolder, tmp_path: Path) -> None:
    (plugins.folder("geo", "1.0") / "_geo.abi3.so").write_bytes(b"\x7fELF")
    pack(tmp_path / "plugins" / "geo", tmp_path / "dist")
    [wheel] = (tmp_path / "dist").iterdir()
    assert wheel.name.startswith("geo-1.0-cp3")
    assert "none" not in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        assert b"Root-Is-Purelib: false\n" in archive.read("geo-1.0.dist-info/WHEEL")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("own.dist-info/x", "own.dist-info/x: is no content of a plugin in a wheel; rename it, or leave it out"),
        ("geo-1.data/x", "'geo-1.data/x' would be installed elsewhere"),
        ("back\\slash", "is no name of a file in it"),
    ],
)
def test_what_a_wheel_cannot_hand_on_is_refused(plugins: PluginFolder, tmp_path: Path, name: str, why: str) -> None:
    file = plugins.folder("geo", "1.0") / name
    file.parent.mkdir(exist_ok=True)
    file.touch()
    done = pack(tmp_path / "plugins" / "geo", tmp_path / "dist")
    assert (done.exit_code, why in done.output) == (Exit.REFUSED, True), done.output
    assert not (tmp_path / "dist").exists()


def test_what_is_no_folder_of_a_plugin_is_said(plugins: PluginFolder, tmp_path: Path) -> None:
    single = pack(plugins.single("hello"), tmp_path)
    assert (single.exit_code, "is one file already" in single.output) == (Exit.REFUSED, True)
    (tmp_path / "empty").mkdir()
    none = pack(tmp_path / "empty", tmp_path)
    assert (none.exit_code, "is no plugin: no plugin.toml in it" in none.output) == (Exit.REFUSED, True)
    (tmp_path / "file").touch()
    nowhere = pack(plugins.folder("geo"), tmp_path / "file" / "below")
    assert (nowhere.exit_code, "Not a directory" in nowhere.output) == (Exit.REFUSED, True)
