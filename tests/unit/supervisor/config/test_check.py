"""Settings: flags over variables over the file, and every error at once with where it came from."""

from pathlib import Path

import msgspec
import pytest

from changeover.supervisor.config.check import Checked, ConfigInvalid
from changeover.supervisor.config.load import check, load
from changeover.supervisor.config.rules import warnings
from changeover.supervisor.config.settings import AccessLog, Pipeline, PipelineMatch, Plugin, Settings
from changeover.supervisor.config.sources import Override, Source
from changeover.workers.protocol.document import Bytes, Text
from changeover.workers.protocol.reload import DISABLED, ON_SIGNAL

WHOLE = """
name = "shop"
bind = ["127.0.0.1:8000", "unix:/run/shop/web.sock", "[::1]:0", "fd://3"]
workers = "auto"
[app]
target = "shop.main:app"
dir = "src"
[plugins]
dir = "plugins"
reload = "disabled"
[plugins.pricing]
mount = "/prices"
reload = "on-signal"
config = { currency = "EUR" }
[plugins.geo]
mount = { lookup = "/geo", admin = "" }
[[pipelines]]
match = { host = "shop.example", path = "/api" }
handlers = ["pricing:discount"]
service = "app"
[drain]
http = "1m"
[deadlines]
graceful = 90
[history]
keep = 3
"""
APP = '[app]\ntarget = "a:b"\n'


def checked(folder: Path, text: str, environment: dict[str, str] | None = None, *flags: Override) -> Checked:
    (folder / "changeover.toml").write_text(text)
    return check(Source(folder=folder, environment=environment or {}, flags=flags))


def errors(folder: Path, text: str, environment: dict[str, str] | None = None, *flags: Override) -> list[str]:
    result = checked(folder, text, environment, *flags)
    assert result.settings is None
    return [str(error).replace(f"{folder}/", "") for error in result.errors]


def settings(folder: Path, text: str, environment: dict[str, str] | None = None, *flags: Override) -> Settings:
    result = checked(folder, text, environment, *flags)
    assert result.errors == ()
    return result.required()


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    whole = settings(tmp_path, WHOLE)
    assert whole.name == "shop"
    assert whole.slots(cores=6) == 6
    assert whole.app is not None
    assert whole.app.dir == str(tmp_path / "src")
    assert whole.plugins.dir == str(tmp_path / "plugins")
    assert whole.plugins.entries["pricing"] == Plugin("/prices", {"currency": "EUR"}, "on-signal")
    assert whole.pipelines == (Pipeline(PipelineMatch("/api", "shop.example"), ("pricing:discount",), "app"),)
    assert whole.pipelines[0].title == "shop.example/api"
    assert (whole.drain.http, whole.drain.websocket, whole.deadlines.graceful) == (60.0, 3600.0, 90.0)
    assert whole.history.keep == 3


def test_a_plugins_own_policy_wins_over_the_one_for_all(tmp_path: Path) -> None:
    whole = settings(tmp_path, WHOLE)
    assert whole.policy("pricing") == ON_SIGNAL
    assert whole.policy("geo") == DISABLED
    assert whole.policy("unheard-of") == DISABLED


def test_flags_win_over_variables_and_variables_over_the_file(tmp_path: Path) -> None:
    text = f"workers = 2\nbacklog = 10\n{APP}[drain]\nhttp = 1\n"
    environment = {"CHANGEOVER_WORKERS": "3", "CHANGEOVER_DRAIN_HTTP": "2s", "WEB_CONCURRENCY": "9"}
    found = settings(tmp_path, text, environment, Override(("workers",), Text("4"), "--workers"))
    assert (found.workers, found.drain.http, found.backlog) == (4, 2.0, 10)


@pytest.mark.parametrize(("text", "workers"), [("", 9), ("workers = 2\n", 2)])
def test_web_concurrency_counts_only_where_nothing_else_says_so(tmp_path: Path, text: str, workers: int) -> None:
    assert settings(tmp_path, text + APP, {"WEB_CONCURRENCY": "9"}).workers == workers


@pytest.mark.parametrize(
    ("text", "environment", "bind"),
    [
        ("", {}, ("fd://3", "fd://4")),
        ('bind = ["fd://web"]\n', {}, ("fd://web",)),
        ("", {"CHANGEOVER_BIND": "a:1"}, ("a:1",)),
    ],
)
def test_sockets_that_are_passed_count_only_where_nothing_else_says_so(
    tmp_path: Path, text: str, environment: dict[str, str], bind: tuple[str, ...]
) -> None:
    assert settings(tmp_path, text + APP, {"LISTEN_FDS": "2", **environment}).bind == bind


def test_everything_can_be_said_without_a_file(tmp_path: Path) -> None:
    source = Source(folder=tmp_path, environment={"CHANGEOVER_PLUGINS_DIR": "there", "CHANGEOVER_BIND": "a:1, b:2"})
    found = load(source)
    assert found.plugins.dir == str(tmp_path / "there")
    assert found.bind == ("a:1", "b:2")


def test_relative_folders_start_from_the_file_or_from_where_the_command_was_started(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    text = 'state_dir = "state"\nwritable = ["up", "/srv"]\n[plugins]\ndir = "plugins"\n'
    (tmp_path / "etc" / "shop.toml").write_text(text)
    flags = (Override(("runtime_dir",), "run", "--runtime-dir"),)
    found = load(Source(file=Path("etc/shop.toml"), folder=tmp_path, flags=flags))
    assert found.plugins.dir == str(tmp_path / "etc" / "plugins")
    assert found.state_dir == str(tmp_path / "etc" / "state")
    assert found.writable == (str(tmp_path / "etc" / "up"), "/srv")
    assert found.runtime_dir == str(tmp_path / "run")


def test_a_service_without_a_name_has_that_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my shop!"
    folder.mkdir()
    assert settings(folder, APP).name == "my-shop"


def test_a_name_that_was_given_is_told_from_that_of_the_folder_also_where_they_are_alike(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    by_flag = Override(("name",), "shop", "--name")
    found = [checked(folder, APP), checked(folder, f'name = "shop"\n{APP}'), checked(folder, APP, None, by_flag)]
    found.append(checked(folder, f'name = "shop"\nwrokers = 4\n{APP}'))
    assert [each.named for each in found] == [False, True, True, True]


def test_all_errors_are_told_at_once_each_with_its_origin_and_path(tmp_path: Path) -> None:
    text = """
wrokers = 4
workers = "many"
bind = ["127.0.0.1:8000", "127.0.0.1:8000", "localhost", "x:70000"]
[app]
target = "shop.main"
[plugins]
dri = "plugins"
[plugins.pricing]
relaod = "disabled"
[[pipelines]]
match = { path = "api/" }
handlers = ["authz:check", 3, "discount"]
[[pipelines]]
handlers = ["authz:check", "authz:check", "discount"]
service = "pricing"
"""
    environment = {"CHANGEOVER_LIMITS_HEAD": "many"}
    assert errors(
        tmp_path, text, environment, Override(("deadlines", "graceful"), Text("x"), "--graceful-timeout")
    ) == [
        "changeover.toml: $.wrokers: unknown key; did you mean `workers`?",
        "changeover.toml: $.workers: 'many' is not a whole number or `auto`",
        "changeover.toml: $.plugins.dri: unknown key; did you mean `dir`?",
        "changeover.toml: $.plugins.pricing.relaod: unknown key; did you mean `reload`?",
        "changeover.toml: $.pipelines[0].handlers[1]: 3 is not text or a table",
        "CHANGEOVER_LIMITS_HEAD: $.limits.head: 'many' is no size: write bytes, or a number with kB, MB, GB or TB"
        " (powers of 1000), or with KiB, MiB, GiB or TiB (powers of 1024) (`80MB`, `64 KiB`)",
        "--graceful-timeout: $.deadlines.graceful: 'x' is no duration:"
        " write seconds, or a number with ms, s, m, h or d (`30s`)",
        "changeover.toml: $.app.target: 'shop.main' is no target; write it like `package.module:app`",
        "changeover.toml: $.bind[1]: 127.0.0.1:8000 stands here twice",
        "changeover.toml: $.bind[2]: 'localhost' is no address: host:port, [v6]:port, unix:/path, fd://3 or fd://name",
        "changeover.toml: $.bind[3]: port 70000 is above 65535",
        "changeover.toml: $.pipelines[1].handlers[1]: authz:check stands in this pipeline twice",
        "changeover.toml: $.pipelines[1].handlers[2]: there is no ready-made handler 'discount'; "
        "a plugin's is written like `plugin:handler`",
        "changeover.toml: $.pipelines[1].service: 'pricing' is neither `app` nor `plugin:service`",
    ]


SIZES = {
    ("limits", "url"): "4KiB",
    ("limits", "head"): "16KiB",
    ("limits", "body"): "4KiB",
    ("limits", "unread"): "4KiB",
    ("limits", "message"): "4KiB",
    ("recycle", "memory"): "80 MB",
    ("preflight", "memory"): "2GiB",
    ("preflight", "output"): "1kB",
}
BYTES = {"4KiB": 4096, "16KiB": 16384, "80 MB": 80_000_000, "2GiB": 2 << 30, "1kB": 1000}


@pytest.mark.parametrize("key", SIZES, ids=".".join)
@pytest.mark.parametrize("by", ["the file", "a variable", "a flag"])
def test_every_size_may_have_a_unit_wherever_it_is_written(tmp_path: Path, key: tuple[str, str], by: str) -> None:
    written = SIZES[key]
    text = f"{APP}[{key[0]}]\n{key[1]} = '{written}'\n" if by == "the file" else APP
    environment = {f"CHANGEOVER_{key[0]}_{key[1]}".upper(): written} if by == "a variable" else {}
    flags = (Override(key, Text(written), "--flag"),) if by == "a flag" else ()
    area = getattr(settings(tmp_path, text, environment, *flags), key[0])
    assert getattr(area, key[1]) == BYTES[written]


def test_what_is_a_size_is_known_to_be_one() -> None:
    sizes = {
        (area.name, field.name)
        for area in msgspec.structs.fields(Settings)
        if isinstance(area.type, type) and issubclass(area.type, msgspec.Struct)
        for field in msgspec.structs.fields(area.type)
        if field.type == Bytes
    }
    assert sizes == SIZES.keys()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (f"workers = 0\n{APP}", "$.workers"),
        (f"bind = []\n{APP}", "$.bind"),
        (f'name = "a/b"\n{APP}', "$.name"),
        (f"{APP}[limits]\nhead = 100000\n", "$.limits.head"),
        (f"{APP}[limits]\nkeep_alive = 0\n", "$.limits.keep_alive"),
        (f"{APP}[deadlines]\nprepare = 0\n", "$.deadlines.prepare"),
        (f'{APP}[deadlines]\nsilence = "500ms"\n', "$.deadlines.silence"),
        (f'{APP}[deadlines]\nrequest = "500ms"\n', "$.deadlines.request"),
        (f"landlock = true\nno_new_privs = false\n{APP}", "$.landlock"),
        (f"{APP}[history]\nkeep = 0\n", "$.history.keep"),
        (f"{APP}[drain]\nmax_resident = 1\n", "$.drain.max_resident"),
        (f"{APP}threads = 0\n", "$.app.threads"),
        (f'{APP}root_path = "x/"\n', "$.app.root_path"),
        (f'{APP}[plugins.pricing]\nmount = "prices"\n', "$.plugins.pricing.mount"),
        (f'{APP}[plugins.pricing]\nmount = {{ quote = "/x/" }}\n', "$.plugins.pricing.mount.quote"),
        (f'{APP}[plugins]\nreload = "on-chnage"\n', "$.plugins.reload"),
        (f'{APP}[plugins]\ndir = "p"\n[plugins.geo]\nreload = "every day"\n', "$.plugins.geo.reload"),
        (f'{APP}reload = "disabled"\n', "$.app.reload"),
        (f"{APP}[watch]\nrescan = 0\n", "$.watch.rescan"),
        (f'{APP}[plugins]\nentries = "x"\n', "$.plugins.entries"),
        (f'{APP}[[pipelines]]\nmatch = {{ host = "Shop:80" }}\n', "$.pipelines[0].match.host"),
        (f'{APP}[[pipelines]]\nname = "app"\n', "$.pipelines[0].name"),
        (f"{APP}[[pipelines]]\n[[pipelines]]\n", "$.pipelines[1].match"),
        ('[plugins]\ndir = "p"\n[[pipelines]]\nservice = "app"\n', "$.pipelines[0].service"),
        ("workers = 1\n", "$"),
    ],
)
def test_what_can_be_read_and_makes_no_sense_is_an_error(tmp_path: Path, text: str, path: str) -> None:
    result = checked(tmp_path, text)
    assert [error.path for error in result.errors] == [path]
    with pytest.raises(ConfigInvalid):
        result.required()


@pytest.mark.parametrize("call", ["shop:make()", "shop:make(debug=True)"])
def test_a_factory_that_is_named_with_a_call_is_told_how_it_is_named_here(tmp_path: Path, call: str) -> None:
    [told] = errors(tmp_path, f'[app]\ntarget = "{call}"\n')
    assert "a factory is named without a call: `shop:make`, and --factory" in told


def test_a_syntax_error_is_told_with_its_line(tmp_path: Path) -> None:
    [error] = errors(tmp_path, "workers = 1\nbind =\n")
    assert error.startswith("changeover.toml: $: no TOML: ")
    assert "line 2" in error


def test_a_python_file_is_told_where_its_settings_belong(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("import os\nworkers = os.cpu_count()\n")
    [error] = check(Source(file=Path("gunicorn.conf.py"), folder=tmp_path)).errors
    assert error.message.startswith("Python files are not read: write a changeover.toml")
    assert "Python" not in errors(tmp_path, "import os\n")[0]


def test_a_python_file_is_not_read_either_when_it_happens_to_be_toml(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("workers = 3\n")
    [error] = check(Source(file=Path("gunicorn.conf.py"), folder=tmp_path)).errors
    assert error.message.startswith("Python files are not read")


def test_a_file_that_is_named_and_not_there_is_an_error(tmp_path: Path) -> None:
    [error] = check(Source(file=Path("none.toml"), folder=tmp_path)).errors
    assert (error.origin, error.message) == (str(tmp_path / "none.toml"), "cannot be read: No such file or directory")


def test_the_file_can_be_named_by_a_variable(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text('name = "other"\n' + APP)
    assert load(Source(folder=tmp_path, environment={"CHANGEOVER_CONFIG": "other.toml"})).name == "other"


def test_folders_to_write_below_say_nothing_where_workers_are_not_confined(tmp_path: Path) -> None:
    [warning] = checked(tmp_path, f'writable = ["up"]\n{APP}').warnings
    assert (warning.path, "landlock = true" in warning.message) == ("$.writable", True)


def test_warnings_are_kept_apart_from_errors(tmp_path: Path) -> None:
    text = f"{APP}[deadlines]\norphan = 0\n[plugins.pricing]\n"
    result = checked(tmp_path, text, {"CHANGEOVER_WORKRS": "3", "CHANGEOVER_CONFIG": "changeover.toml"})
    assert result.settings is not None
    assert [(warning.origin.split("/")[-1], warning.path) for warning in result.warnings] == [
        ("environment", "CHANGEOVER_WORKRS"),
        ("changeover.toml", "$.deadlines.orphan"),
        ("changeover.toml", "$.plugins"),
    ]
    assert "did you mean `CHANGEOVER_WORKERS`?" in str(result.warnings[0])


def test_whose_word_is_taken_is_checked(tmp_path: Path) -> None:
    assert errors(tmp_path, 'forwarded = ["10.0.0.0/8", "proxy.example"]\n' + APP) == [
        "changeover.toml: $.forwarded[1]: 'proxy.example' is no network or address, like `10.0.0.0/8`"
    ]
    mixed = 'forwarded = ["10.0.0.1"]\nforwarded_headers = ["forwarded", "x-forwarded-for"]\n' + APP
    assert errors(tmp_path, mixed)[0].startswith(
        "changeover.toml: $.forwarded_headers: names `forwarded` beside others"
    )
    assert errors(tmp_path, 'forwarded_headers = ["x-real-ip"]\n' + APP)[0].startswith(
        "changeover.toml: $.forwarded_headers[0]: "
    )


@pytest.mark.parametrize(("file", "paths"), [("/log/access", []), ("/elsewhere", ["$.access_log.file"]), ("-", [])])
def test_an_access_log_that_workers_may_not_write_is_warned_of(file: str, paths: list[str]) -> None:
    confined = Settings(landlock=True, writable=("/log",), access_log=AccessLog(file))
    assert [warning.path for warning in warnings(confined)] == paths


LABELLED = """
bind = ["127.0.0.1:8000", "127.0.0.1:9000"]
[[channels]]
bind = "127.0.0.1:9000"
select = [{ SELECT }]
[[pipelines]]
match = { label = "inside" }
service = "app"
[[pipelines]]
service = "app"
[app]
target = "a:b"
"""


@pytest.mark.parametrize(
    ("select", "told"),
    [
        (
            'label = "insid"',
            ["$.pipelines[0].match.label: no rule of a channel gives the label 'inside'; did you"],
        ),
        ("tls = false", ["$.pipelines[0].match.label: no rule of a channel gives the label 'inside'"]),
        ('label = "inside", initializer = "a:b"', ["$.channels[0].select[0].label: has no effect: pipelines are for"]),
        ('label = "inside"}, { label = "a b"', ["$.channels[0].select[1].label: 'a b' is no label: letters, digits"]),
    ],
)
def test_labels_of_connections_are_those_that_rules_give(tmp_path: Path, select: str, told: list[str]) -> None:
    assert checked(tmp_path, LABELLED.replace("SELECT", 'label = "inside"')).errors == ()
    found = errors(tmp_path, LABELLED.replace("SELECT", select))
    assert len(found) == len(told)
    assert all(words in error for words, error in zip(told, found, strict=True)), found
