"""What settings must be beyond their types."""

from changeover.supervisor.config import rules
from changeover.supervisor.config.settings import App, Deadlines, Plugin, Plugins, Preflight, Recycle, Settings


def test_whatever_bounds_a_preflight_leaves_it_room_to_run() -> None:
    wrong = Settings(
        name="shop",
        app=App("a:b", "/srv"),
        preflight=Preflight(memory=1, processes=1, output=-1),
        deadlines=Deadlines(preflight=0),
        recycle=Recycle(leaks=-1),
    )
    assert [mistake.path for mistake in rules.mistakes(wrong)] == [
        "$.preflight.memory",
        "$.preflight.processes",
        "$.preflight.output",
        "$.deadlines.preflight",
        "$.recycle.leaks",
    ]


def test_a_grant_names_capabilities() -> None:
    plugins = Plugins("plugins", entries={"pricing": Plugin(grant=("net", "Net"))})
    [mistake] = rules.mistakes(Settings(name="shop", plugins=plugins))
    assert mistake.path == "$.plugins.pricing.grant[1]"
    assert mistake.message == "'Net' is none of exec, native, net, write; did you mean `net`?"
