"""What plugins need of installed distributions is checked before anything of them is loaded."""

from pathlib import Path

import pytest

from changeover.supervisor.artifacts.content import Content
from changeover.supervisor.artifacts.dependencies import lacking
from changeover.supervisor.core.edits import RemovePlugin
from changeover.supervisor.core.outcome import Action, ScanRefused, ScanResult, Strategy
from changeover.workers.plugins.manifest import Manifest
from changeover.workers.protocol.snapshot import OWN, Interpreter, Snapshot
from tests.unit.supervisor.artifacts.test_scanner import Place, asking, place

__all__ = ["place"]

INSTALLED = {"numpy": "2.4.6", "typing-extensions": "4.12", "django": ""}


def reasons(interpreter: Interpreter = OWN, concerned: str = "", **needs: tuple[str, ...]) -> list[str]:
    contents = {
        plugin: Content(Manifest(plugin, "1.0", dependencies=needed), "a", b"", f"{plugin}/plugin.toml")
        for plugin, needed in needs.items()
    }
    told = lacking(contents, frozenset([concerned] if concerned else needs), INSTALLED, interpreter)
    return [str(problem) for problem in told]


@pytest.mark.parametrize(
    "needed",
    [
        "numpy",
        "NumPy>=2,<3",
        "typing_extensions>=4",
        "typing.extensions",
        "numpy[extra]>=2",
        "django>=5",
        "nowhere; python_version < '3'",
        "nowhere; extra == 'more'",
    ],
)
def test_what_is_installed_meets_it(needed: str) -> None:
    assert reasons(geo=(needed,)) == []


def test_what_is_not_installed_is_told_with_plugin_and_interpreter() -> None:
    there = Interpreter("/opt/python", "3.12.1")
    assert reasons(there, geo=("scipy>=1", "numpy<2")) == [
        "geo/plugin.toml: $.dependencies: geo 1.0 needs scipy>=1, which is not installed for /opt/python",
        "geo/plugin.toml: $.dependencies: geo 1.0 needs numpy<2, and numpy 2.4.6 is installed for /opt/python",
    ]


def test_two_plugins_that_exclude_each_other_are_both_named() -> None:
    assert reasons(geo=("numpy<2",), rates=("numpy>=2",)) == [
        "geo/plugin.toml: $.dependencies: geo 1.0 needs numpy<2 and rates 1.0 needs numpy>=2, and numpy 2.4.6 is "
        "installed: a process has one version of it"
    ]


def test_markers_are_those_of_the_interpreter_that_will_run_it() -> None:
    needs = ("nowhere; python_version >= '3.14'",)
    assert reasons(Interpreter("/opt/python", "3.13.9"), geo=needs) == []
    assert len(reasons(Interpreter("/opt/python", "3.14.1"), geo=needs)) == 1


def test_what_cannot_be_compared_there_is_needed() -> None:
    there = Interpreter("/opt/python", "3.14.0 (custom)")
    needs = ("numpy; '3.14.0' ~= python_full_version", "nowhere; '3.14.0' ~= python_full_version")
    [told] = reasons(there, geo=needs)
    assert "geo 1.0 needs nowhere" in told


def test_what_serves_already_is_not_judged_anew() -> None:
    assert reasons(concerned="rates", geo=("scipy",), rates=("numpy",)) == []
    [told] = reasons(concerned="rates", geo=("scipy",), rates=("scipy>=2",))
    assert told.startswith("rates/plugin.toml")


def test_a_reload_whose_plugin_lacks_something_is_refused_and_others_go_on(place: Place) -> None:
    serving = place.candidate(None).snapshot
    place.plugins.folder("geo", "1.0", 'dependencies = ["msgspec", "no-such-thing>=1"]\n', geo="x = 1")
    [refused] = place.refused(serving)
    assert refused.startswith(
        "plugins/geo/plugin.toml: $.dependencies: geo 1.0 needs no-such-thing>=1, which is not installed"
    )
    place.plugins.single("hello", "1.1")
    assert place.candidate(serving, asking(only=("hello",))).summary[0].startswith("hello 1.0 -> 1.1")
    place.plugins.folder("geo", "1.0", 'dependencies = ["msgspec"]\n', geo="x = 1")
    assert "+ geo 1.0" in place.candidate(serving).summary


def test_what_serves_is_judged_too_where_all_of_it_goes_to_new_processes(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.configure('[plugins]\ndir = "plugins"\n')
    record = tmp_path / "site" / "soon_gone-1.0.dist-info"
    record.mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    place.plugins.folder("geo", "1.0", 'dependencies = ["soon-gone"]\n', geo="x = 1")
    place.plugins.folder("maps", "1.0", 'strategy = "roll"\n', maps="x = 1")
    serving = place.candidate(None).snapshot
    record.rmdir()
    place.plugins.single("hello", "1.1")
    serving = place.candidate(serving).snapshot
    assert not serving.is_roll
    place.plugins.folder("maps", "1.1", 'strategy = "roll"\n', maps="x = 2")
    [refused] = place.refused(serving)
    assert "geo 1.0 needs soon-gone, which is not installed" in refused
    place.plugins.folder("geo", "1.1", geo="x = 2")
    assert place.candidate(serving).snapshot.is_roll


def test_a_single_file_says_it_where_the_standard_has_it(place: Place, tmp_path: Path) -> None:
    file = place.plugins.single("hello")
    file.write_text(file.read_text().replace("# [tool", '# dependencies = ["no-such-thing"]\n# [tool'))
    [refused] = place.refused(None)
    assert "hello 1.0 needs no-such-thing, which is not installed" in refused


VENDORED = 'packages = "vendor"\ndependencies = ["no-such-thing>=2"]\n'


def test_what_a_plugin_brings_itself_is_not_asked_of_what_is_installed(place: Place) -> None:
    folder = place.plugins.folder("geo", "1.0", VENDORED, geo="import no_such_thing")
    (folder / "vendor").mkdir()
    (folder / "vendor" / "no_such_thing.py").touch()
    record = folder / "vendor" / "no_such_thing-2.1.dist-info"
    record.mkdir()
    (record / "METADATA").touch()
    place.plugins.folder("maps", "1.0", 'dependencies = ["no-such-thing<2"]\n', maps="x = 1")
    [refused] = place.refused(None)
    assert refused.startswith("plugins/maps/plugin.toml: $.dependencies: maps 1.0 needs no-such-thing<2, which is not")
    place.plugins.folder("maps", "1.0", maps="x = 1")
    serving = place.candidate(None).snapshot
    assert place.candidate(serving, asking(strategy=Strategy.ROLL)).snapshot.is_roll
    record.rename(folder / "vendor" / "no_such_thing-1.0.dist-info")
    assert place.refused(serving) == [
        "plugins/geo/plugin.toml: $.dependencies: geo 1.0 needs no-such-thing>=2, and "
        "brings no-such-thing 1.0 in vendor"
    ]


def test_a_rollback_that_rolls_is_judged_for_all_that_goes_to_new_processes(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, record = rolled_over_what_is_gone(place, tmp_path, monkeypatch)
    back = asking(action=Action.ROLLBACK, to=first.epoch)
    [refused] = refusals(place.scan(second, back, first, second))
    assert "geo 1.0 needs soon-gone, which is not installed" in refused
    record.mkdir()
    assert place.candidate(second, back, first, second).snapshot.is_roll


def test_so_is_an_edit_that_rolls(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, second, record = rolled_over_what_is_gone(place, tmp_path, monkeypatch)
    remove = asking(edit=RemovePlugin("maps"))
    [refused] = refusals(place.scan(second, remove))
    assert "geo 1.0 needs soon-gone, which is not installed" in refused
    record.mkdir()
    assert place.candidate(second, remove).snapshot.is_roll


def rolled_over_what_is_gone(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Snapshot, Snapshot, Path]:
    """Serve `maps` in two versions that only rolls replace, beside `geo` whose distribution is uninstalled then."""
    place.configure('[plugins]\ndir = "plugins"\n')
    record = tmp_path / "site" / "soon_gone-1.0.dist-info"
    record.mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    place.plugins.folder("geo", "1.0", 'dependencies = ["soon-gone"]\n', geo="x = 1")
    place.plugins.folder("maps", "1.0", 'strategy = "roll"\n', maps="x = 1")
    first = place.candidate(None).snapshot
    place.plugins.folder("maps", "1.1", 'strategy = "roll"\n', maps="x = 2")
    second = place.candidate(first).snapshot
    record.rmdir()
    return first, second, record


def refusals(result: ScanResult) -> list[str]:
    assert isinstance(result, ScanRefused)
    return [each.refusal.summary for each in result.refusals]
