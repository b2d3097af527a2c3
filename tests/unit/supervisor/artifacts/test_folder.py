"""A folder of plugins is read whole: plugins, what is wrong with others, and what is none."""

import itertools
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from changeover.supervisor.artifacts import folder
from changeover.supervisor.artifacts.folder import read_folder, read_plugin, read_settled
from changeover.workers.plugins.artifact import UnreadableArtifact, digest_of, read_files
from changeover.workers.plugins.manifest_reading import ManifestInvalid
from changeover.workers.protocol.refusal import Fault
from tests.plugin_folder import PluginFolder


@pytest.fixture
def plugins(tmp_path: Path) -> PluginFolder:
    return PluginFolder(tmp_path / "plugins")


def test_folders_and_single_files_are_plugins_and_all_else_is_ignored_by_name(plugins: PluginFolder) -> None:
    plugins.folder("pricing", code="x = 1")
    plugins.single("hello")
    (plugins.path / "README.md").write_text("read me")
    (plugins.path / "notes.py").write_text("x = 1")
    (plugins.path / "drafts").mkdir()
    (plugins.path / ".git").mkdir()
    (plugins.path / "__pycache__").mkdir()
    listing = read_folder(plugins.path)
    assert list(listing.plugins) == ["hello", "pricing"]
    assert listing.plugins["pricing"].files.keys() == {"plugin.toml", "code.py"}
    assert listing.plugins["pricing"].digest == digest_of(listing.plugins["pricing"].files)
    assert listing.problems == {}
    assert {Path(path).name: why for path, why in listing.ignored.items()} == {
        "README.md": "no folder, wheel or Python file",
        "drafts": "no plugin.toml in it",
        "notes.py": "no [tool.changeover] block in it",
    }


def test_every_broken_plugin_is_told_with_file_and_path(plugins: PluginFolder) -> None:
    plugins.folder("pricing", version="?", more='sumary = "x"')
    plugins.single("hello", more='handlers = { stamp = "sideways" }')
    told = [str(each) for problems in read_folder(plugins.path).problems.values() for each in problems]
    assert [problem.removeprefix(f"{plugins.path}/").split(": ")[:2] for problem in told] == [
        ["hello.py", "$.tool.changeover.handlers.stamp.direction"],
        ["pricing/plugin.toml", "$.sumary"],
    ]


def test_two_plugins_of_one_id_are_refused_naming_both(plugins: PluginFolder) -> None:
    plugins.folder("pricing")
    plugins.folder("pricing-copy")
    toml = plugins.path / "pricing-copy" / "plugin.toml"
    toml.write_text('id = "pricing"\nversion = "2"\n')
    [[problem]] = read_folder(plugins.path).problems.values()
    assert str(problem) == f"{toml}: $.id: pricing is the id of {plugins.path}/pricing already"


def test_a_folder_that_is_not_there_is_a_problem_of_resources(tmp_path: Path) -> None:
    [[problem]] = read_folder(tmp_path / "none").problems.values()
    assert problem.fault is Fault.RESOURCE
    assert problem.message.startswith("this folder of plugins cannot be read: No such file or directory; `--plugins`")


def test_a_resource_that_matches_no_file_is_refused(plugins: PluginFolder) -> None:
    folder = plugins.folder("pricing", more='[resources]\nrules = { path = "rules/*.toml" }')
    with pytest.raises(ManifestInvalid, match=r"\$\.resources\.rules\.path: no file matches"):
        read_plugin(folder)
    (folder / "rules").mkdir()
    (folder / "rules" / "a.toml").write_text("")
    found = read_plugin(folder)
    assert found is not None
    assert "rules/a.toml" in found.files


def test_a_manifest_that_is_not_utf8_is_refused(plugins: PluginFolder) -> None:
    folder = plugins.folder("pricing")
    (folder / "plugin.toml").write_bytes(b'id = "\xff"')
    with pytest.raises(ManifestInvalid, match="not UTF-8"):
        read_plugin(folder)


def written_after_each_reading(monkeypatch: pytest.MonkeyPatch, file: Path, steps: Iterable[str]) -> None:
    """Have somebody who writes `file` a step further each time that it was read."""
    left = iter(steps)

    def read(path: Path) -> dict[str, bytes]:
        files = read_files(path)
        for step in itertools.islice(left, 1):
            file.write_text(step)
        return files

    monkeypatch.setattr(folder, "read_files", read)


def test_files_that_somebody_is_writing_are_read_when_they_are_written(
    plugins: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = plugins.folder("pricing", code="")
    written_after_each_reading(monkeypatch, path / "code.py", ("ha", "half", "", "whole"))
    assert read_settled(path)["code.py"] == b"whole"


def test_so_are_those_in_a_folder_that_a_link_leads_to(
    plugins: PluginFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, elsewhere = plugins.folder("pricing"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "code.py").write_text("")
    (path / "linked").symlink_to(elsewhere)
    written_after_each_reading(monkeypatch, elsewhere / "code.py", ("ha", "half", "", "whole"))
    assert read_settled(path)["linked/code.py"] == b"whole"


def test_files_that_are_copied_with_their_times_are_read_when_all_are_copied(
    plugins: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `cp -p`, rsync and tar do: what was written a moment ago looks as old as what it was copied from."""
    path = plugins.folder("pricing", code="new", rules="old")
    for each in (*path.iterdir(), path):
        os.utime(each, (1, 1))
    left = ["new"]

    def read(path: Path) -> dict[str, bytes]:
        files = read_files(path)
        while left:
            (path / "rules.py").write_text(left.pop())
            os.utime(path / "rules.py", (1, 1))
        return files

    monkeypatch.setattr(folder, "read_files", read)
    assert read_settled(path)["rules.py"] == b"new"


@pytest.mark.parametrize("name", [".cache.db", "__pycache__/pricing.pyc", ".git/index"])
def test_what_is_written_without_end_and_is_no_content_keeps_nobody_waiting(
    plugins: PluginFolder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = plugins.folder("pricing", code="new")
    (path / name).parent.mkdir(exist_ok=True)
    written_after_each_reading(monkeypatch, path / name, map(str, itertools.count()))
    assert read_settled(path)["code.py"] == b"new"


def test_files_that_never_come_to_rest_are_refused(plugins: PluginFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    path = plugins.folder("pricing", code="")
    written_after_each_reading(monkeypatch, path / "code.py", map(str, itertools.count()))
    with pytest.raises(UnreadableArtifact, match="still changes after 5 readings"):
        read_settled(path, tries=5)


def test_a_wheel_that_becomes_a_folder_is_a_problem_of_its_own(
    plugins: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plugins.path / "geo-1.3.whl").write_bytes(b"")
    monkeypatch.setattr(folder, "read_files", lambda path: {"plugin.toml": b"", "geo.py": b""})
    [[problem]] = read_folder(plugins.path).problems.values()
    assert problem.message == "was a file, and is a folder now; reload when it is what it is to be"


def test_a_link_that_leads_nowhere_is_a_mistake_and_no_removal(tmp_path: Path) -> None:
    (tmp_path / "pricing").symlink_to(tmp_path / "releases" / "42")
    [[problem]] = read_folder(tmp_path).problems.values()
    assert problem.message == "a link that leads nowhere; mend or remove it"
