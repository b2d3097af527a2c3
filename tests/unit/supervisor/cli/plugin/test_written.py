"""`changeover plugin` for those that you write."""

import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from changeover.supervisor.artifacts.folder import read_plugin
from changeover.supervisor.cli import main
from changeover.supervisor.cli.exits import Exit
from changeover.supervisor.cli.plugin import trying
from changeover.testing import SimulatedWorker
from tests.plugin_folder import PluginFolder
from tests.unit.supervisor.artifacts.test_wheel import packed

PASSED = "  preflight passed in "
UNCONFINED = "  loads   yes, here and unconfined: no server was asked, nothing was activated"
NEAR = 'handlers = { near = "inbound" }'
STATEFUL = """
from changeover.plugin import Plugin

class Counter(Plugin[None]):
    def export_state(self): return b""
    def import_state(self, old, state): pass
"""


def plugin(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["plugin", *map(str, arguments)])


@pytest.fixture
def plugins(tmp_path: Path) -> PluginFolder:
    return PluginFolder(tmp_path / "plugins")


@pytest.mark.parametrize(("name", "path"), [("my-rate", "my_rate.py"), ("geo", "geo.py")])
def test_a_new_file_passes_its_check_and_serves(tmp_path: Path, name: str, path: str) -> None:
    made = plugin("new", name, "--dir", tmp_path / "plugins")
    assert made.exit_code == Exit.DONE
    file = tmp_path / "plugins" / path
    assert f"wrote {file}" in made.output
    checked = plugin("check", file)
    assert (checked.exit_code, PASSED in checked.output) == (Exit.DONE, True), checked.output
    with SimulatedWorker(file) as worker:
        assert worker.get(f"/{name}").text == f"{name} of epoch 1\n"


def test_a_new_folder_passes_its_check_and_serves_as_it_is_configured(tmp_path: Path) -> None:
    assert plugin("new", "my-rate", "--class", "--dir", tmp_path).exit_code == Exit.DONE
    checked = plugin("check", tmp_path / "my-rate")
    assert (checked.exit_code, PASSED in checked.output) == (Exit.DONE, True), checked.output
    with SimulatedWorker(tmp_path / "my-rate", config={"greeting": "good day"}) as worker:
        answer = worker.get("/my-rate")
        assert (answer.text, answer.headers["x-my-rate-epoch"]) == ("good day from my-rate\n", "1")


def test_nothing_that_exists_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "geo.py").write_text("mine")
    for further in ((), ("--class",)):
        result = plugin("new", "geo", *further, "--dir", tmp_path)
        assert result.exit_code == Exit.REFUSED
        assert "geo.py is there already; nothing was written" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["geo.py"]


@pytest.mark.parametrize("name", ["Geo", "3d", "app", "class", "a/b", ""])
def test_a_name_that_is_no_id_is_refused(tmp_path: Path, name: str) -> None:
    result = plugin("new", name, "--dir", tmp_path)
    assert result.exit_code == Exit.USAGE
    assert f"{name!r} is " in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", [("changeover",), ("changeover", "--class"), ("msgspec", "--class")])
def test_a_name_whose_module_would_hide_what_the_plugin_imports_is_refused(
    tmp_path: Path, how: tuple[str, ...]
) -> None:
    result = plugin("new", *how, "--dir", tmp_path)
    assert result.exit_code == Exit.USAGE
    assert f"{how[0]!r} is what the plugin has to import, and its own module would be found first" in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_hides_only_what_the_plugin_does_not_import_is_taken(tmp_path: Path) -> None:
    assert plugin("new", "msgspec", "--dir", tmp_path).exit_code == Exit.DONE
    checked = plugin("check", tmp_path / "msgspec.py")
    assert checked.exit_code == Exit.DONE, checked.output


def test_a_check_says_the_digest_that_a_reload_would_store(plugins: PluginFolder) -> None:
    path = plugins.single("geo")
    found = read_plugin(path)
    assert found is not None
    result = plugin("check", path, "--no-load")
    assert result.output.splitlines() == [
        f"geo 1.0  {path}",
        f"  digest  {found.digest}",
        f"  content 1 file, {path.stat().st_size} bytes",
        "their code was not loaded",
    ]


def test_a_manifest_that_is_wrong_is_told_in_full_and_hides_no_other(plugins: PluginFolder) -> None:
    wrong = plugins.folder("geo", "1.0", 'colour = "red"\n[handlers]\nnear = "sideways"\n')
    result = plugin("check", wrong, plugins.single("prices"))
    assert result.exit_code == Exit.REFUSED
    assert f"{wrong}/plugin.toml: $" in result.output
    assert "colour" in result.output
    assert "sideways" in result.output
    assert PASSED in result.output


def test_what_is_no_plugin_says_what_makes_it_one(plugins: PluginFolder) -> None:
    (plugins.path / "notes.py").write_text("1")
    result = plugin("check", plugins.path / "notes.py", plugins.path)
    assert "notes.py: is no plugin: no `# /// script` block with [tool.changeover] in it" in result.output
    assert "plugins: is no plugin: no plugin.toml and no plugin in it" in result.output


def test_a_folder_of_plugins_is_checked_whole(plugins: PluginFolder) -> None:
    (plugins.path / "notes.txt").write_text("1")
    plugins.single("geo", code="x = 1")
    plugins.single("prices", more='requires = { geo = ">=1" }')
    checked = plugin("check", plugins.path)
    assert (checked.exit_code, checked.output.count(PASSED)) == (Exit.DONE, 2), checked.output
    plugins.folder("wrong", "?")
    wrong = plugin("check", plugins.path, "--no-load")
    assert wrong.exit_code == Exit.REFUSED
    assert "wrong/plugin.toml: $.version" in wrong.output
    assert "geo 1.0" in wrong.output


def test_code_that_does_not_load_is_shown_with_its_line_and_what_it_printed(plugins: PluginFolder) -> None:
    path = plugins.single("geo", more=NEAR, code="print('so far')\nprice = 1 / 0")
    result = plugin("check", path)
    assert result.exit_code == Exit.REFUSED
    assert "error: geo does not pass its preflight" in result.output
    assert "  preflight  plugin geo" in result.output
    assert "ZeroDivisionError: division by zero" in result.output
    assert "price = 1 / 0" in result.output
    assert "    > so far" in result.output


def test_unconfined_it_is_loaded_as_the_one_who_asks(plugins: PluginFolder, tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'mine')!r}, 'w').write('so far')\nprint('so far')"
    path = plugins.single("geo", more=NEAR, code=f"{code}\nprice = 1 / 0")
    result = plugin("check", path, "--no-preflight")
    assert "error: geo does not load" in result.output
    assert "ZeroDivisionError: division by zero" in result.output
    assert "  | so far" in result.output
    assert (tmp_path / "mine").read_text() == "so far"
    assert UNCONFINED in plugin("check", plugins.single("prices", code="x = 1"), "--no-preflight").output


def test_code_that_disagrees_with_its_manifest_is_found_too(plugins: PluginFolder) -> None:
    code = "from changeover.plugin import outbound\n@outbound\ndef near(request, response, call): pass"
    result = plugin("check", plugins.single("geo", more=NEAR, code=code))
    assert result.exit_code == Exit.REFUSED
    assert "near" in result.output.partition("does not pass")[2]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            '[handlers]\nnear = "inbound"\nfar = "inbound"\n[services]\nplace = "/geo"\n',
            " are both inbound and of phase app, and nothing orders them: let one declare `after` or `before`",
        ),
        (
            '[handlers]\nnear = { direction = "inbound", after = ["far"] }\n'
            'far = { direction = "inbound", after = ["near"] }\n[services]\nplace = "/geo"\n',
            ": none can come first",
        ),
        (
            '[services]\nplace = "/geo"\nroad = "/geo"\n',
            "$.services.road.mount: /geo leads to geo:place already",
        ),
    ],
    ids=["loose", "cycle", "mounts"],
)
def test_what_no_server_could_lay_out_is_found_before_it_is_loaded(
    more: str, told: str, plugins: PluginFolder, tmp_path: Path
) -> None:
    result = plugin("check", plugins.folder("geo", "1.0", more, geo="1 / 0"))
    assert result.exit_code == Exit.REFUSED
    assert told in result.output
    assert "ZeroDivisionError" not in result.output
    config = tmp_path / "changeover.toml"
    config.write_text('[plugins]\ndir = "plugins"\n')
    served = CliRunner().invoke(main, ["check", "--config", str(config)])
    assert (served.exit_code, told in served.output) == (Exit.REFUSED, True), served.output


def test_a_mount_that_the_configuration_moves_collides_no_more(plugins: PluginFolder, tmp_path: Path) -> None:
    more = '[services]\nplace = "/geo"\nroad = "/geo"\n'
    code = "async def place(request, call): ...\nasync def road(request, call): ...\n"
    path = plugins.folder("geo", "1.0", more, geo=code)
    config = tmp_path / "changeover.toml"
    config.write_text('[plugins]\ndir = "plugins"\n[plugins.geo]\nmount = { road = "/road" }\n')
    moved = plugin("check", path, "--config", config)
    assert moved.exit_code == Exit.DONE, moved.output


def test_a_plugin_that_ends_its_process_is_a_finding_and_not_our_end(plugins: PluginFolder) -> None:
    path = plugins.single("geo", more=NEAR, code="import os; os.kill(os.getpid(), 11)")
    result = plugin("check", path)
    assert result.exit_code == Exit.REFUSED
    assert "error: geo does not pass its preflight" in result.output
    assert "SIGSEGV" in result.output
    assert "geo does not load: its process was ended by signal 11" in plugin("check", path, "--no-preflight").output


HANGS = "import os, time\nos.fork()\ntime.sleep(60)"


def test_a_plugin_that_hangs_is_ended_at_the_deadline_of_a_preflight(plugins: PluginFolder, tmp_path: Path) -> None:
    config = tmp_path / "changeover.toml"
    config.write_text('[plugins]\ndir = "plugins"\n[deadlines]\npreflight = "1s"\n')
    result = plugin("check", plugins.single("geo", more=NEAR, code=HANGS), "--config", config)
    assert result.exit_code == Exit.REFUSED
    assert "error: geo does not pass its preflight" in result.output
    assert "time.sleep" in result.output or "geo.py" in result.output


def test_unconfined_it_is_ended_with_what_it_started(plugins: PluginFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "DEADLINE", 3.0)
    result = plugin("check", plugins.single("geo", more=NEAR, code=HANGS), "--no-preflight")
    assert "error: geo does not load: it did not end within 3 s" in result.output


@pytest.mark.parametrize("how", [(), ("--no-preflight",)])
def test_state_that_would_not_be_given_is_found(plugins: PluginFolder, how: tuple[str, ...]) -> None:
    code = """
from changeover.plugin import Plugin
class Counter(Plugin[None]):
    def export_state(self): raise KeyError("boom")
"""
    path = plugins.folder("counter", "1.0", 'plugin = "counter:Counter"\nstate = ">=1"\n', counter=code)
    result = plugin("check", path, *how)
    assert result.exit_code == Exit.REFUSED
    assert (
        "KeyError: 'boom'; as it stands, what replaces it some day could only begin without its state" in result.output
    )


def test_state_that_is_exported_and_never_merged_is_a_warning(plugins: PluginFolder) -> None:
    more = 'plugin = "counter:Counter"\nstate = ">=1"\n'
    path = plugins.folder("counter", "1.0", more, counter=STATEFUL)
    warned = plugin("check", path)
    assert warned.exit_code == Exit.DONE
    assert "warning: plugin counter: it has export_state and no merge_state" in warned.output
    assert "warning: counter: it has export_state and no merge_state" in plugin("check", path, "--no-preflight").output
    merging = textwrap.indent("def merge_state(self, old, imported, latest): pass\n", "    ")
    plugins.folder("counter", "1.1", more, counter=STATEFUL + merging)
    assert "warning" not in plugin("check", path).output


@pytest.mark.parametrize("first", ["", "from __future__ import annotations"])
def test_a_hook_that_expects_state_as_it_was_exported_is_a_warning(plugins: PluginFolder, first: str) -> None:
    code = f"""{first}
import msgspec
from changeover.plugin import Plugin, PluginVersion

class State(msgspec.Struct):
    count: int = 0

class Counter(Plugin[None]):
    def export_state(self) -> State: return State()
    def import_state(self, old: PluginVersion, state: State) -> None: pass
    def merge_state(self, old: object, imported: bytes, latest: dict) -> None: pass
"""
    path = plugins.folder("counter", "1.0", 'plugin = "counter:Counter"\nstate = ">=1"\n', counter=code)
    told = plugin("check", path, "--no-preflight").output
    assert "warning: counter: its import_state has `state: State`, and is given bytes: " in told
    assert "warning: counter: its merge_state has `latest: dict`, and is given bytes: " in told
    assert told.count("and is given bytes") == 2


def test_state_that_no_version_takes_is_a_warning(plugins: PluginFolder) -> None:
    merging = textwrap.indent("def merge_state(self, old, imported, latest): pass\n", "    ")
    path = plugins.folder("counter", "1.0", 'plugin = "counter:Counter"\n', counter=STATEFUL + merging)
    warned = plugin("check", path)
    assert warned.exit_code == Exit.DONE
    assert (
        "warning: plugin counter: it has import_state, and its manifest does not say whose state it takes"
        in warned.output
    )


def test_distributions_that_are_not_installed_are_told(plugins: PluginFolder) -> None:
    needing = plugin("check", plugins.single("geo", more='dependencies = ["no-such-thing>=2"]', code="x = 1"))
    assert needing.exit_code == Exit.REFUSED
    assert "$.dependencies: geo 1.0 needs no-such-thing>=2, which is not installed for " in needing.output
    there = plugins.single("geo", more='dependencies = ["msgspec"]', code="x = 1")
    assert plugin("check", there).exit_code == Exit.DONE


def test_distributions_that_a_plugin_brings_need_not_be_installed(plugins: PluginFolder) -> None:
    bringing = plugins.folder("geo", "1.0", 'packages = "vendor"\ndependencies = ["shapes>=2"]\n', geo="import shapes")
    (bringing / "vendor" / "shapes-2.1.dist-info").mkdir(parents=True)
    (bringing / "vendor" / "shapes-2.1.dist-info" / "RECORD").touch()
    (bringing / "vendor" / "shapes.py").touch()
    checked = plugin("check", bringing)
    assert (checked.exit_code, PASSED in checked.output) == (Exit.DONE, True), checked.output


def test_wheels_are_loaded_as_their_folders_would_be(plugins: PluginFolder) -> None:
    rates = 'id = "rates"\nversion = "1"\nrequires = { geo = ">=1" }\nservices = { rate = "rates:rate" }\n'
    geo, prices = plugins.path / "geo-1-py3-none-any.whl", plugins.path / "rates-1-py3-none-any.whl"
    geo.write_bytes(packed({"geo/plugin.toml": 'id = "geo"\nversion = "1"\n', "geo/__init__.py": "x = 1"}))
    code = "async def rate(request, call): ..."
    prices.write_bytes(packed({"plugin.toml": rates, "rates.py": code}))
    checked = plugin("check", geo, prices)
    assert (checked.exit_code, checked.output.count(PASSED)) == (Exit.DONE, 2), checked.output
    prices.write_bytes(packed({"plugin.toml": rates, "rates.py": "import nowhere"}))
    broken = plugin("check", geo, prices)
    assert broken.exit_code == Exit.REFUSED
    assert "error: rates does not pass its preflight" in broken.output
    assert "nowhere" in broken.output


def test_plugins_that_require_each_other_are_checked_together(plugins: PluginFolder) -> None:
    geo = plugins.single("geo", "1.2", code="place = 1")
    prices = plugins.single("prices", more='requires = { geo = ">=1" }')
    alone = plugin("check", prices)
    assert alone.exit_code == Exit.REFUSED
    assert "prices 1.0 requires geo >=1, which is not there; name the plugins that it requires, too" in alone.output
    assert plugin("check", prices, geo).exit_code == Exit.DONE
    older = plugin("check", prices, plugins.single("geo", "0.9", code="place = 1"))
    assert older.exit_code == Exit.REFUSED
    assert f"prices 1.0 requires geo >=1, but geo 0.9 is there ({geo})\n" in older.output
    assert "name the plugins" not in older.output


def test_a_configuration_is_taken_from_the_file_that_is_named(plugins: PluginFolder, tmp_path: Path) -> None:
    assert plugin("new", "geo", "--class", "--dir", plugins.path).exit_code == Exit.DONE
    config = tmp_path / "changeover.toml"
    config.write_text('[plugins]\ndir = "plugins"\n[plugins.geo]\nconfig = { greting = "hi" }\n')
    result = plugin("check", plugins.path / "geo", "--config", config)
    assert result.exit_code == Exit.REFUSED
    assert "greting" in result.output


@pytest.mark.parametrize("app", ["", '[app]\ntarget = "shop:app"\n'])
def test_a_configuration_that_names_no_folder_is_that_of_a_server_that_is_given_one(
    plugins: PluginFolder, tmp_path: Path, app: str
) -> None:
    """`changeover run --plugins DIR` takes what the file lacks."""
    assert plugin("new", "geo", "--class", "--dir", plugins.path).exit_code == Exit.DONE
    config = tmp_path / "changeover.toml"
    for key, status in (("greting", Exit.REFUSED), ("greeting", Exit.DONE)):
        config.write_text(f'{app}[plugins.geo]\nconfig = {{ {key} = "hi" }}\n')
        result = plugin("check", plugins.path / "geo", "--config", config)
        assert result.exit_code == status, result.output
        assert "geo 0.1.0" in result.output
        assert "nothing to serve" not in result.output
        assert "plugins.dir" not in result.output
    config.write_text('backlog = 0\n[plugins.geo]\nconfig = { greeting = "hi" }\n')
    wrong = plugin("check", plugins.path / "geo", "--config", config)
    assert (wrong.exit_code, "$.backlog: must be at least 1" in wrong.output) == (Exit.REFUSED, True)
    config.write_text("plugins = 3\n")
    unread = plugin("check", plugins.path / "geo", "--config", config)
    assert (unread.exit_code, "$.plugins: " in unread.output) == (Exit.REFUSED, True)


def test_what_a_plugin_asks_for_it_has_unless_a_configuration_says_otherwise(
    plugins: PluginFolder, tmp_path: Path
) -> None:
    code = "import subprocess\nsubprocess.run(['true'], check=True)\ndef near(request, call): ...\n"
    careless = plugin("check", plugins.single("geo", more=NEAR, code=code))
    assert careless.exit_code == Exit.REFUSED
    assert "takes the capability exec, which geo was not granted" in careless.output
    path = plugins.single("geo", more=f'{NEAR}\ncapabilities = ["exec"]', code=code)
    assert plugin("check", path).exit_code == Exit.DONE
    config = tmp_path / "changeover.toml"
    config.write_text('[plugins]\ndir = "plugins"\n')
    refused = plugin("check", path, "--config", config)
    assert refused.exit_code == Exit.REFUSED
    assert 'geo 1.0 asks for exec, which is not granted; write `grant = ["exec"]` in [plugins.geo]' in refused.output
    config.write_text('[plugins]\ndir = "plugins"\n[plugins.geo]\ngrant = ["exec"]\n')
    assert plugin("check", path, "--config", config).exit_code == Exit.DONE
