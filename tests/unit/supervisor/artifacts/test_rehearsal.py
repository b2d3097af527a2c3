"""Checking before a start: the same scan, without a server and without a store."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from changeover.supervisor.artifacts.rehearsal import Rehearsal, rehearse
from changeover.supervisor.cli.check import command
from changeover.supervisor.config.settings import App, Plugins, Settings
from changeover.workers.plugins import artifact
from tests.plugin_folder import PluginFolder


@pytest.fixture
def plugins(tmp_path: Path) -> PluginFolder:
    return PluginFolder(tmp_path / "plugins")


def rehearsed(plugins: PluginFolder) -> Rehearsal:
    return rehearse(Settings(plugins=Plugins(str(plugins.path))))


def test_an_application_that_cannot_be_taken_is_an_error_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop.py").write_text("app = None")
    monkeypatch.setattr(artifact, "MAX_BYTES", 5)
    assert rehearse(Settings(app=App("shop:app", str(tmp_path)))).errors == (f"{tmp_path}: holds more than 5 bytes",)


def test_what_would_serve_is_known_before_anything_starts(plugins: PluginFolder) -> None:
    plugins.single("hello", more='services = { hello = "/hello" }')
    before = sorted(plugins.path.parent.rglob("*"))
    rehearsal = rehearsed(plugins)
    assert [route.path for route in rehearsal.candidate.routes] == ["/hello"]
    assert (rehearsal.errors, rehearsal.warnings) == ((), ())
    assert sorted(plugins.path.parent.rglob("*")) == before


def test_what_has_no_effect_is_a_warning(plugins: PluginFolder) -> None:
    plugins.single("hello", more='handlers = { stamp = "outbound" }')
    (plugins.path / "README").write_text("")
    assert rehearsed(plugins).warnings == (
        f"ignored: {plugins.path}/README (no folder, wheel or Python file)",
        "unused: handler hello:stamp is in no pipeline",
    )


def test_a_selector_that_no_channel_asks_is_a_warning(plugins: PluginFolder) -> None:
    plugins.single("hello", more='selectors = ["old"]')
    assert rehearsed(plugins).warnings == ("unused: selector hello:old is asked by no channel",)


def test_the_command_tells_errors_of_plugins_too(plugins: PluginFolder) -> None:
    plugins.folder("pricing", "?")
    result = CliRunner().invoke(command, ["--plugins", str(plugins.path)])
    assert result.exit_code == 1
    assert "plugins/pricing/plugin.toml: $.version: '?' is no version" in result.output
    plugins.folder("pricing", "1.0")
    assert CliRunner().invoke(command, ["--plugins", str(plugins.path)]).exit_code == 0


def test_the_command_tells_of_an_interpreter_that_cannot_execute_it(plugins: PluginFolder) -> None:
    nowhere = plugins.path / "nowhere"
    result = CliRunner().invoke(command, ["--plugins", str(plugins.path), f"--python={nowhere}"])
    assert result.exit_code == 1
    assert f"error: python {nowhere} cannot be executed: No such file or directory" in result.output


def test_a_mistake_that_only_the_scan_finds_names_the_file_like_any_other(plugins: PluginFolder) -> None:
    plugins.single("hello", more='handlers = { stamp = "outbound" }')
    file = plugins.path.parent / "changeover.toml"
    file.write_text(f'[plugins]\ndir = "{plugins.path}"\n[[pipelines]]\nhandlers = ["hello:stam"]\n')
    result = CliRunner().invoke(command, ["--config", str(file)])
    assert result.exit_code == 1
    assert f"error: {file}: $.pipelines[0].handlers[0]: hello 1.0 has no handler stam" in result.output
