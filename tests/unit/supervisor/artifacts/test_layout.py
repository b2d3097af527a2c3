"""Pipelines: the configured ones, the plugins' mounts, the application's default, and what contradicts them."""

from collections.abc import Mapping

import pytest

from changeover.supervisor.artifacts.candidate import assemble, snapshot
from changeover.supervisor.artifacts.content import Content
from changeover.supervisor.artifacts.layout import (
    Plan,
    contradictions,
    lay_out,
    of_no_plugin,
    plans_of,
    unused,
    within,
)
from changeover.supervisor.artifacts.reach import Reach
from changeover.supervisor.artifacts.requirements import build_order, unmet
from changeover.supervisor.config.settings import App, Pipeline, PipelineMatch, Plugin, Plugins, Settings
from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.outcome import CutoverRequest
from changeover.workers.plugins.manifest_reading import read_toml
from changeover.workers.protocol.snapshot import HandlerRef, Route, UnitKind, UnitRef


def content(plugin: str, more: str = "", version: str = "1.0") -> Content:
    file = f"plugins/{plugin}/plugin.toml"
    return Content(
        read_toml(f'id = "{plugin}"\nversion = "{version}"\n{more}', file), f"{plugin} {more}", b"\x80", file
    )


def contents(*each: Content) -> dict[str, Content]:
    return {one.manifest.id: one for one in each}


def settings(*pipelines: Pipeline, app: bool = False, **entries: Plugin) -> Settings:
    return Settings(app=App("a:b") if app else None, plugins=Plugins(entries=entries), pipelines=pipelines)


def problems(configured: Settings, there: Mapping[str, Content]) -> list[str]:
    layout = lay_out(configured, there, "changeover.toml")
    found = [*layout.problems, *contradictions(layout.plans, there, configured.app is not None)]
    return [str(problem) for problem in found]


QUOTE = '[services]\nquote = "/prices"\n'
HANDLERS = """
[handlers]
last = { direction = "inbound", after = ["first"] }
first = "inbound"
guard = { direction = "around", phase = "security" }
"""


def test_a_plugin_alone_is_served_where_it_proposes_through_its_own_handlers() -> None:
    there = contents(content("pricing", HANDLERS + QUOTE))
    [plan] = lay_out(settings(), there).plans
    assert plan.name == "pricing:quote"
    assert plan.target == UnitRef(UnitKind.SERVICE, "pricing:quote")
    assert plan.routes == (Route("pricing:quote", "/prices", mounted=True),)
    assert [handler.handler for handler in plan.handlers] == ["guard", "first", "last"]
    assert problems(settings(), there) == []


def test_the_configuration_overrides_where_a_plugin_is_mounted() -> None:
    there = contents(content("pricing", QUOTE))
    [plan] = lay_out(settings(pricing=Plugin("/elsewhere")), there).plans
    assert plan.routes[0].path == "/elsewhere"
    assert lay_out(settings(pricing=Plugin("")), there).plans == ()


def test_several_services_are_mounted_by_name() -> None:
    there = contents(content("pricing", '[services]\nquote = "/prices"\nadmin = "pricing:Admin"\n'))
    plans = lay_out(settings(pricing=Plugin({"admin": "/admin", "quote": ""})), there).plans
    assert [(plan.name, plan.routes[0].path) for plan in plans] == [("pricing:admin", "/admin")]
    assert problems(settings(pricing=Plugin("/x")), there) == [
        "changeover.toml: $.plugins.pricing.mount: pricing has 2 services: write a table of service name -> path"
    ]
    assert problems(settings(pricing=Plugin({"qoute": "/x"})), there) == [
        "changeover.toml: $.plugins.pricing.mount.qoute: pricing has no service qoute; did you mean `quote`?"
    ]


def test_the_application_answers_at_the_root_unless_a_pipeline_names_it() -> None:
    [plan] = lay_out(settings(app=True), {}).plans
    assert (plan.name, plan.routes) == ("app", (Route("app", "/"),))
    [plan] = lay_out(settings(Pipeline(PipelineMatch("/api"), (), "app"), app=True), {}).plans
    assert plan.routes == (Route("/api", "/api"),)


def test_a_service_that_a_pipeline_names_is_not_mounted_on_top() -> None:
    there = contents(content("pricing", QUOTE))
    [plan] = lay_out(settings(Pipeline(PipelineMatch("/x"), (), "pricing:quote")), there).plans
    assert plan.routes == (Route("/x", "/x"),)


def test_a_pipeline_without_anything_is_legal() -> None:
    assert problems(settings(Pipeline()), {}) == []
    [plan] = lay_out(settings(Pipeline()), {}).plans
    assert (plan.handlers, plan.target) == ((), None)


def test_two_equal_mounts_are_refused_naming_both() -> None:
    there = contents(content("pricing", QUOTE), content("quotes", QUOTE))
    [problem] = problems(settings(), there)
    assert problem == (
        "plugins/quotes/plugin.toml: $.services.quote.mount: /prices leads to pricing:quote already"
        " (plugins/pricing/plugin.toml: $.services.quote.mount); mount one of them elsewhere in [plugins]"
    )


def test_a_mount_and_a_pipeline_that_take_the_same_requests_are_refused_unless_one_says_more() -> None:
    there = contents(content("pricing", QUOTE))
    [problem] = problems(settings(Pipeline(PipelineMatch("/prices"))), there)
    assert problem.startswith("plugins/pricing/plugin.toml: $.services.quote.mount: /prices leads to /prices already")
    assert "(changeover.toml: $.pipelines[0])" in problem
    for match in (PipelineMatch("/prices/*"), PipelineMatch("/prices", method="POST")):
        assert problems(settings(Pipeline(match)), there) == []


def test_a_match_becomes_a_route() -> None:
    match = PipelineMatch("/a", "*.a.example", "POST", {"X-Tenant": "b"})
    [plan] = lay_out(settings(Pipeline(match)), {}).plans
    assert plan.name == "POST *.a.example/a x-tenant=b"
    assert plan.routes == (Route(plan.name, "/a", "*.a.example", False, ("POST",), (("x-tenant", "b"),)),)


def test_what_a_pipeline_names_and_is_not_there_is_told_with_a_suggestion() -> None:
    there = contents(content("pricing", HANDLERS))
    configured = settings(Pipeline(handlers=("pricing:frist", "prizing:x"), service="pricing:quote"))
    assert problems(configured, there) == [
        "changeover.toml: $.pipelines[0].handlers[0]: pricing 1.0 has no handler frist; did you mean `first`?",
        "changeover.toml: $.pipelines[0].handlers[1]: there is no plugin prizing; did you mean `pricing`?",
        "changeover.toml: $.pipelines[0].service: pricing 1.0 has no service quote",
    ]


@pytest.mark.parametrize(
    ("handlers", "index", "why"),
    [
        (("pricing:first", "pricing:guard"), 1, "is of phase security and must come before"),
        (("pricing:last", "pricing:first"), 1, "must come before pricing:last, which declares `after` it"),
        (("log:entry", "early:bird"), 1, "declares `before` log:entry"),
    ],
)
def test_an_order_that_contradicts_what_handlers_declare_is_refused(
    handlers: tuple[str, ...], index: int, why: str
) -> None:
    early = content("early", '[handlers]\nbird = { direction = "inbound", before = ["log"] }')
    there = contents(content("pricing", HANDLERS), early, content("log", '[handlers]\nentry = "inbound"'))
    [problem] = problems(settings(Pipeline(handlers=handlers)), there)
    assert problem.startswith(f"changeover.toml: $.pipelines[0].handlers[{index}]: ")
    assert why in problem


def test_ready_made_handlers_have_their_places_too() -> None:
    there = contents(content("pricing", HANDLERS))
    right = ("request-id", "pricing:guard", {"use": "rate-limit", "limit": 5}, "pricing:first")
    assert problems(settings(Pipeline(handlers=right)), there) == []
    late = ("pricing:first", {"use": "rate-limit", "limit": 5})
    assert problems(settings(Pipeline(handlers=late)), there) == [
        "changeover.toml: $.pipelines[0].handlers[1]: rate-limit is of phase limit and must come before "
        "pricing:first of phase app"
    ]
    assert problems(settings(Pipeline(handlers=("retry", "timeout"))), there) == [
        "changeover.toml: $.pipelines[0].handlers[1]: timeout must come before retry, which declares `after` it"
    ]


def test_a_ready_made_handler_that_only_another_version_has_is_told_by_name() -> None:
    plan = Plan("shop", (HandlerRef("", "reqest-id"),), file="epoch 3", path="shop")
    [problem] = contradictions([plan], {}, has_app=False)
    assert (
        str(problem)
        == "epoch 3: shop.handlers[0]: there is no ready-made handler reqest-id; did you mean `request-id`?"
    )


def test_handlers_of_one_plugin_that_contradict_each_other_are_refused() -> None:
    circle = '[handlers]\na = { direction = "inbound", after = ["b"] }\nb = { direction = "inbound", after = ["a"] }\n'
    [problem] = problems(settings(), contents(content("pricing", circle + QUOTE)))
    assert "none can come first" in problem


def test_handlers_of_a_mount_whose_order_nobody_says_are_refused_until_somebody_lists_them() -> None:
    there = contents(content("pricing", '[handlers]\na = "inbound"\nb = "inbound"\n' + QUOTE))
    [problem] = problems(settings(), there)
    assert problem == (
        "plugins/pricing/plugin.toml: $.handlers: pricing:a and pricing:b are both inbound and of phase app, and"
        " nothing orders them: let one declare `after` or `before` the other, or list both in [[pipelines]]"
    )
    listed = Pipeline(PipelineMatch("/x"), ("pricing:b", "pricing:a"), "pricing:quote")
    assert problems(settings(listed), there) == []


def test_what_has_no_effect_is_told() -> None:
    there = contents(content("pricing", HANDLERS + '[services]\nquote = "pricing:Quote"\n'))
    configured = settings(Pipeline(handlers=("pricing:guard",)))
    assert list(unused(lay_out(configured, there).plans, there, configured)) == [
        "unused: handler pricing:last is in no pipeline",
        "unused: handler pricing:first is in no pipeline",
        "unused: service pricing:quote is mounted nowhere",
    ]


def test_settings_of_no_plugin_are_told_with_the_one_that_was_probably_meant() -> None:
    configured = settings(pricing=Plugin(), pricng=Plugin(), geo=Plugin())
    assert list(of_no_plugin(configured, {"pricing"})) == [
        "unused: [plugins.geo] names no plugin",
        "unused: [plugins.pricng] names no plugin; did you mean `pricing`?",
    ]


def test_only_takes_the_named_plugins_mounts_and_leaves_the_rest_as_it_serves() -> None:
    before = contents(content("pricing", QUOTE), content("geo", '[services]\nlookup = "/geo"\n'))
    plans = lay_out(settings(Pipeline(PipelineMatch("/x"))), before).plans
    routes = [route for plan in plans for route in plan.routes]
    serving = snapshot(assemble(before, None, plans, 1), routes, 1, None)
    assert {plan.name for plan in plans_of(serving)} == {"pricing:quote", "geo:lookup", "/x"}
    after = contents(content("pricing", '[services]\nquote = "/p"\n'), content("geo", '[services]\nlookup = "/g"\n'))
    changed = settings(Pipeline(PipelineMatch("/y")))
    reach = Reach(CutoverRequest(Origin(Trigger.COMMAND), only=("pricing",)), changed, serving)
    taken = within(reach, lay_out(changed, after), serving)
    paths = sorted(route.path for plan in taken.plans for route in plan.routes)
    assert paths == ["/geo", "/p", "/x"]


def test_requirements_are_checked_naming_both_sides() -> None:
    there = contents(
        content("pricing", 'requires = { catalog = ">=2.1,<3", authz = ">=1", ratess = ">=1" }', version="1.5.0"),
        content("catalog", version="2.0"),
        content("authz", version="1.0rc1"),
        content("rates"),
    )
    assert [str(problem) for problem in unmet(there)] == [
        "plugins/pricing/plugin.toml: $.requires.catalog: pricing 1.5.0 requires catalog >=2.1,<3,"
        " but catalog 2.0 is there (plugins/catalog/plugin.toml)",
        "plugins/pricing/plugin.toml: $.requires.authz: pricing 1.5.0 requires authz >=1,"
        " but authz 1.0rc1 is there (plugins/authz/plugin.toml)",
        "plugins/pricing/plugin.toml: $.requires.ratess: pricing 1.5.0 requires ratess >=1,"
        " which is not there; did you mean `rates`?",
    ]


def test_requirements_that_exclude_each_other_are_both_named() -> None:
    there = contents(
        content("pricing", 'requires = { catalog = ">=2" }', version="1.5.0"),
        content("rates", 'requires = { catalog = "<2" }', version="3.1"),
        content("tax", 'requires = { catalog = "" }'),
        content("catalog", version="1.9"),
    )
    assert [str(problem) for problem in unmet(there)] == [
        "plugins/pricing/plugin.toml: $.requires.catalog: pricing 1.5.0 requires catalog >=2,"
        " but catalog 1.9 is there (plugins/catalog/plugin.toml), and rates 3.1 requires catalog <2",
    ]


def test_a_circle_of_requirements_is_refused_naming_it() -> None:
    there = contents(*(content(one, f'requires = {{ {other} = ">=1" }}') for one, other in ("ab", "bc", "ca")))
    [problem] = unmet(there)
    assert "none can be built first" in problem.message
    assert problem.message.count("requires") == 3


def test_plugins_are_built_after_what_they_require_and_else_by_name() -> None:
    there = contents(content("a", 'requires = { z = ">=1" }'), content("b"), content("z"))
    assert build_order(there) == ("b", "z", "a")


def test_a_plan_knows_whose_mount_it_is() -> None:
    assert Plan("pricing:quote", (HandlerRef("a", "b"),)).owner == "pricing"
    assert Plan("shop.example/api:v2").owner == ""
