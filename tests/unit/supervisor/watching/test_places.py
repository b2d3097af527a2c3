"""What the settings want looked at, and how files are named."""

from pathlib import Path

import pytest

from changeover.supervisor.config.channels import Certificate, Channel, Tls
from changeover.supervisor.config.check import Checked
from changeover.supervisor.config.settings import App, Plugin, Plugins, Settings, Watch
from changeover.supervisor.watching.places import Places, Plan, plan
from changeover.workers.protocol.reload import ON_CHANGE, read_reload

APART = (Path("/run/shop"), Path("/var/lib/shop"))
PLUGINS = Plugins("/srv/plugins", "on-change")


def wanted(settings: Settings, file: str = "/srv/changeover.toml") -> Plan:
    found = plan(Checked(settings, file=file), APART)
    assert found is not None
    return found


def test_where_everything_is_asked_for_nothing_is_looked_at() -> None:
    assert wanted(Settings(plugins=Plugins("/srv/plugins"), app=App("shop:app", "/srv"))) == Plan()


def test_the_folder_of_plugins_and_the_configuration_are_looked_at() -> None:
    found = wanted(Settings(plugins=PLUGINS, watch=Watch(5.0)))
    assert (found.places.plugins, found.places.config, found.places.app) == ("/srv/plugins", "/srv/changeover.toml", "")
    assert (found.policies, found.watches, found.rescan) == (frozenset({ON_CHANGE}), True, 5.0)


def test_the_application_is_looked_at_where_its_changes_are_taken() -> None:
    found = wanted(Settings(plugins=PLUGINS, app=App("shop:app", "/srv", ("*.py",), reload="on-change")))
    assert (found.places.app, found.places.include) == ("/srv", ("*.py",))
    assert found.places.apart == ("/run/shop", "/srv/plugins", "/var/lib/shop")
    assert wanted(Settings(plugins=PLUGINS, app=App("shop:app", "/srv"))).places.app == ""


def test_certificates_are_looked_at_where_what_the_settings_say_of_all_is_taken() -> None:
    tls = Tls("/tls/shop.pem", "/tls/shop.key", (Certificate("/tls/api.pem"),))
    strict = Channel("127.0.0.1:8443", tls=Tls("/tls/shop.pem", client="required", client_ca="/tls/ca.pem"))
    found = wanted(Settings(plugins=PLUGINS, tls=tls, channels=(strict,)))
    assert found.places.tls == ("/tls/api.pem", "/tls/ca.pem", "/tls/shop.key", "/tls/shop.pem")
    asked = App("shop:app", "/srv", reload="on-change")
    assert wanted(Settings(plugins=Plugins("/srv/plugins"), tls=tls, app=asked)).places.tls == ()


def test_one_plugin_is_enough_and_each_schedule_counts_once() -> None:
    plugins = Plugins("/srv/plugins", entries={name: Plugin(reload="every 60s") for name in ("geo", "prices")})
    found = wanted(Settings(plugins=plugins))
    assert (found.policies, found.watches) == (frozenset({read_reload("every 60s")}), False)


def test_settings_that_are_wrong_want_nothing_new() -> None:
    assert plan(Checked(None), APART) is None


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/srv/plugins/prices/rules.toml", "plugins/prices/rules.toml"),
        ("/srv/shop/views.py", "shop/views.py"),
        ("/etc/changeover.toml", "changeover.toml"),
    ],
)
def test_a_file_is_named_from_the_folder_that_its_place_lies_in(path: str, shown: str) -> None:
    assert Places("/srv/plugins", "/etc/changeover.toml", "/srv").shown(path) == shown


def test_a_name_that_is_no_text_is_escaped() -> None:
    assert Places("/srv/plugins").named(["/srv/plugins/pri\udcffces.py"]) == "plugins/pri\\udcffces.py"


def test_many_files_are_named_by_the_first_and_their_number() -> None:
    names = [f"/srv/plugins/{number:03}.py" for number in range(501)]
    assert Places("/srv/plugins").named(names) == "plugins/000.py, plugins/001.py, plugins/002.py and 498 more"
    assert Places("/srv/plugins").named(()) == ""
