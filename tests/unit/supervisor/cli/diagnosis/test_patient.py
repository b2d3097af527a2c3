import tomllib
from pathlib import Path

import msgspec

from changeover.supervisor.cli.diagnosis.patient import confined, to_examine
from changeover.supervisor.cli.printed_settings import toml
from changeover.supervisor.config.check import judge
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.config.sources import Merged

FILE = """
name = "shop"
bind = ["0.0.0.0:80"]
workers = 8
user = "www-data"
state_dir = "/var/lib/shop"
umask = "027"
rlimits = ["nofile=4096"]
[app]
target = "shop.main:make"
dir = "src"
factory = true
root_path = "/shop"
reload = "on-change"
[plugins]
dir = "plugins"
reload = "every 60s"
[plugins.pricing]
mount = "/prices"
reload = "on-change"
config = { currency = "EUR", rates = [1, 2.5], nested = { "a key" = true } }
[plugins.geo]
reload = "disabled"
[[pipelines]]
match = { host = "shop.example", path = "/api" }
handlers = ["pricing:discount"]
service = "app"
[deadlines]
hook = 7.5
[recycle]
requests = 10
[hooks]
before_boot = "migrate"
after_fork = "shop.hooks:forked"
cutover_committed = "announce"
"""


def read(text: str, folder: Path) -> Settings:
    return judge(Merged(tomllib.loads(text), "changeover.toml", folder, folder)).required()


def test_nothing_that_reaches_outside_is_left_and_everything_else_is(tmp_path: Path) -> None:
    own = read(FILE, tmp_path)
    settings = confined(own, tmp_path / "beside")
    assert (settings.bind, settings.user, settings.state_dir, settings.runtime_dir) == (("127.0.0.1:0",), "", "", "")
    assert (settings.hooks.before_boot, settings.hooks.cutover_committed) == ("", "")
    assert settings.recycle.requests == 0
    assert set(map(str, settings.policies())) == {"on-signal", "disabled"}
    assert (settings.hooks.after_fork, settings.umask, settings.rlimits) == (
        "shop.hooks:forked",
        "027",
        ("nofile=4096",),
    )
    assert (settings.pipelines, settings.workers, settings.deadlines) == (own.pipelines, 8, own.deadlines)


def test_the_file_that_the_server_reads_says_the_same(tmp_path: Path) -> None:
    settings = confined(read(FILE, tmp_path), tmp_path / "beside")
    assert read("\n".join(toml(settings)), tmp_path / "elsewhere") == settings


def test_what_is_examined_alone_is_the_application_as_a_zygote_takes_it(tmp_path: Path) -> None:
    wanted = to_examine(read(FILE, tmp_path))
    assert wanted is not None
    assert (wanted.application.target, wanted.application.factory) == ("shop.main:make", True)
    assert (wanted.application.directory, wanted.root_path, wanted.deadline) == (str(tmp_path / "src"), "/shop", 7.5)
    assert to_examine(msgspec.structs.replace(read(FILE, tmp_path), app=None)) is None
