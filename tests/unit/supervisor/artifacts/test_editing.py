"""Editing what serves, and what the next reload makes of it."""

from pathlib import Path

import pytest

from changeover.supervisor.core.edits import Add, PipelineEdit, Remove, Replace
from changeover.supervisor.core.holding import brought_back
from changeover.supervisor.core.outcome import Action, Candidate, CutoverRequest, NothingChanged
from changeover.workers.protocol.snapshot import PipelineSpec, Snapshot
from tests.unit.supervisor.artifacts.test_scanner import HUP, Place, asking

HANDLERS = """
[handlers]
guard = { direction = "inbound", phase = "security" }
price = "inbound"
tax = { direction = "inbound", after = ["price"] }
[services]
quote = "pricing:Quote"
"""
LIMIT = {"use": "rate-limit", "limit": 5}
PIPELINES = """
[plugins]
dir = "plugins"
[[pipelines]]
match = { path = "/prices" }
handlers = ["pricing:price"]
service = "pricing:quote"
"""


class Shop(Place):
    """One configured pipeline over a plugin that offers more handlers than it uses."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.plugins.folder("pricing", "1.0.0", HANDLERS, pricing="price = 1")
        self.configure(PIPELINES)
        self.restart()

    def edit(self, current: Snapshot, *steps: Add | Remove | Replace, pipeline: str = "/prices") -> Snapshot:
        return self.candidate(current, wish(*steps, pipeline=pipeline)).snapshot


def wish(*steps: Add | Remove | Replace, pipeline: str = "/prices", digest: str = "") -> CutoverRequest:
    return asking(action=Action.EDIT, edit=PipelineEdit(pipeline, steps, digest))


def pipeline(snapshot: Snapshot, name: str = "/prices") -> PipelineSpec:
    [unit] = [unit for unit in snapshot.units if isinstance(unit, PipelineSpec) and unit.key.ref.name == name]
    return unit


def handlers(snapshot: Snapshot, name: str = "/prices") -> list[str]:
    return [str(handler) for handler in pipeline(snapshot, name).handlers]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def serving(shop: Shop) -> Snapshot:
    return shop.candidate(None).snapshot


def test_an_edit_changes_one_pipeline_and_keeps_every_other_unit(shop: Shop, serving: Snapshot) -> None:
    found = shop.candidate(serving, wish(Add("pricing:guard"), Add("pricing:tax")))
    assert handlers(found.snapshot) == ["pricing:guard", "pricing:price", "pricing:tax"]
    assert found.summary == (
        "pipeline /prices: +pricing:guard, +pricing:tax",
        "pipeline /prices is edited, and not as its file says",
    )
    assert [key.ref.name for key in found.snapshot.without(serving)] == ["/prices"]
    assert (found.snapshot.rolled, found.snapshot.routes) == (serving.rolled, serving.routes)


def test_what_lies_on_disk_is_no_part_of_an_edit(shop: Shop, serving: Snapshot) -> None:
    shop.plugins.folder("pricing", "2.0.0", HANDLERS, pricing="price = 2")
    shop.configure("broken")
    edited = shop.edit(serving, Add("pricing:guard"))
    assert [key.ref.name for key in edited.without(serving)] == ["/prices"]


def test_the_edit_stays_for_as_long_as_the_file_says_the_same(shop: Shop, serving: Snapshot) -> None:
    edited = shop.edit(serving, Add("pricing:guard"))
    unchanged = shop.scan(edited)
    assert isinstance(unchanged, NothingChanged)
    assert unchanged.notes == ("kept: pipeline /prices as it was edited, not as its file says",)
    shop.plugins.folder("pricing", "2.0.0", HANDLERS, pricing="price = 2")
    reloaded = shop.candidate(edited).snapshot
    assert handlers(reloaded) == ["pricing:guard", "pricing:price"]
    again = shop.edit(reloaded, Add("pricing:tax"))
    assert isinstance(shop.scan(again), NothingChanged)


def test_an_edit_that_does_not_fit_what_is_on_disk_any_more_is_told_as_one_with_what_mends_it(
    shop: Shop, serving: Snapshot
) -> None:
    edited = shop.edit(serving, Add("pricing:guard"))
    without = HANDLERS.replace('guard = { direction = "inbound", phase = "security" }\n', "")
    shop.plugins.folder("pricing", "2.0.0", without, pricing="price = 2")
    assert shop.refused(edited) == [
        "pipeline /prices as it was edited (`changeover handler remove` or `replace` edits it again):"
        " $.handlers[0]: pricing 2.0.0 has no handler guard"
    ]
    mended = shop.edit(edited, Remove("pricing:guard"))
    assert handlers(shop.candidate(mended).snapshot) == ["pricing:price"]


def test_the_file_wins_loudly_once_it_says_something_else(shop: Shop, serving: Snapshot) -> None:
    edited = shop.edit(serving, Add("pricing:guard"))
    shop.configure(PIPELINES.replace('["pricing:price"]', '["pricing:price", "pricing:tax"]'))
    found = shop.candidate(edited)
    assert found.summary[0] == "dropped: the edit of pipeline /prices, whose file says something else now"
    assert handlers(found.snapshot) == ["pricing:price", "pricing:tax"]
    assert pipeline(found.snapshot).written == ""


def test_an_edit_whose_pipeline_is_gone_is_dropped_with_it(shop: Shop, serving: Snapshot) -> None:
    edited = shop.edit(serving, Add("pricing:guard"))
    shop.configure('[plugins]\ndir = "plugins"\n')
    assert shop.candidate(edited).summary[0].startswith("dropped: the edit of pipeline /prices")


def test_a_file_that_says_what_was_edited_ends_the_edit(shop: Shop, serving: Snapshot) -> None:
    edited = shop.edit(serving, Add("pricing:guard"))
    shop.configure(PIPELINES.replace('["pricing:price"]', '["pricing:guard", "pricing:price"]'))
    followed = shop.candidate(edited).snapshot
    assert followed.without(edited) == ()
    shop.configure(PIPELINES)
    assert handlers(shop.candidate(followed).snapshot) == ["pricing:price"]


def test_ready_made_handlers_come_where_their_phase_puts_them_with_what_they_are_told(
    shop: Shop, serving: Snapshot
) -> None:
    edited = shop.edit(serving, Add("access-log"), Add("request-id"), Add(LIMIT))
    assert handlers(edited) == ["request-id", "access-log", "rate-limit", "pricing:price"]
    assert pipeline(edited).handlers[2].settings == b'{"limit":5}'
    again = shop.edit(edited, Add({**LIMIT, "limit": 9}, after="rate-limit"))
    assert handlers(again) == ["request-id", "access-log", "rate-limit", "rate-limit", "pricing:price"]


def test_an_edit_that_is_undone_by_another_leaves_nothing_behind(shop: Shop, serving: Snapshot) -> None:
    edited = shop.edit(serving, Add("pricing:guard"))
    undone = shop.edit(edited, Remove("pricing:guard"))
    assert (undone.digest, pipeline(undone).written) == (serving.digest, "")
    assert shop.scan(undone) == NothingChanged()


def test_a_rollback_of_an_edit_holds_it_and_whoever_asks_for_it_again_gets_it(shop: Shop, serving: Snapshot) -> None:
    edited = shop.edit(serving, Add("pricing:guard"))
    back = shop.roll_back(edited, serving)
    assert isinstance(shop.scan(back), NothingChanged)
    again = shop.edit(back, Add("pricing:guard"))
    assert brought_back(shop.held, back, again) != ()


def test_a_rollback_to_an_edit_brings_it_back_as_one(shop: Shop, serving: Snapshot) -> None:
    edited = shop.edit(serving, Add("pricing:guard"))
    undone = shop.edit(edited, Remove("pricing:guard"))
    back = shop.roll_back(undone, edited)
    assert pipeline(back).written
    assert isinstance(shop.scan(back), NothingChanged)


def test_only_what_a_request_reaches_is_taken_from_files(shop: Shop, serving: Snapshot) -> None:
    edited = shop.edit(serving, Add("pricing:guard"))
    shop.configure(PIPELINES.replace('["pricing:price"]', '["pricing:price", "pricing:tax"]'))
    shop.plugins.single("hello", "2.0")
    found = shop.candidate(edited, asking(only=("hello",)))
    assert handlers(found.snapshot) == ["pricing:guard", "pricing:price"]
    assert not any(line.startswith("dropped") for line in found.summary)


@pytest.mark.parametrize(
    ("steps", "refusal"),
    [
        ((Add("pricing:grard"),), "pipeline /prices as edited: $.handlers[1]: pricing 1.0.0 has no handler grard; did"),
        ((Add("prizing:x"),), "pipeline /prices as edited: $.handlers[1]: there is no plugin prizing; did you mean"),
        ((Add("pricing:price", at=0),), "pipeline /prices as edited: $.handlers[1]: pricing:price stands in this"),
        (
            (Add("pricing:guard", after="pricing:price"),),
            "$.handlers[1]: pricing:guard is of phase security",
        ),
        ((Add("pricing:tax", at=0),), "as edited: $.handlers[1]: pricing:price must come before pricing:tax"),
        ((Add("pricing:guard"), Remove("pricing:tax")), "pipeline /prices: $.edits[1].handler: pricing:tax is not in"),
        (
            (Add("pricing guard"),),
            "pipeline /prices: $.edits[0].handler: there is no ready-made handler 'pricing guard'",
        ),
        ((Add("request-ib"),), "'request-ib'; did you mean `request-id`?"),
        ((Add({"use": "rate-limit", "limit": "5"}),), "pipeline /prices: $.edits[0].handler: limit: "),
        ((Add("rate-limit"),), "pipeline /prices: $.edits[0].handler: limit: missing"),
        ((Add(LIMIT), Add(LIMIT, at=0)), "$.handlers[1]: rate-limit stands in this pipeline twice"),
        ((Add("request-id", at=1),), "$.handlers[1]: request-id is of phase security and must"),
        (
            (Replace("pricing:price", {"use": "pricing:tax", "a": 1}),),
            "$.edits[0].by: a: unknown key; a plugin",
        ),
        ((Replace("pricing:price", {"a": 1}),), "pipeline /prices: $.edits[0].by: "),
    ],
)
def test_an_edit_that_cannot_be_is_refused_with_its_place(
    shop: Shop, serving: Snapshot, steps: tuple[Add | Remove | Replace, ...], refusal: str
) -> None:
    [told] = shop.refused(serving, wish(*steps))
    assert refusal in told


def test_an_edit_of_no_pipeline_or_of_another_content_is_refused(shop: Shop, serving: Snapshot) -> None:
    [told] = shop.refused(serving, wish(Remove("pricing:price"), pipeline="/price"))
    assert told == "there is no pipeline /price; did you mean `/prices`?; there are: /prices"
    digest = pipeline(serving).key.digest
    assert isinstance(shop.scan(serving, wish(Remove("pricing:price"), digest=digest)), Candidate)
    edited = shop.edit(serving, Add("pricing:guard"))
    [told] = shop.refused(edited, wish(Remove("pricing:price"), digest=digest))
    assert told == "pipeline /prices is not what was to be edited any more: look at it, then ask again"
    assert shop.refused(None, wish(Remove("pricing:price"))) == ["nothing serves yet that could be edited"]


def test_an_edit_that_changes_nothing_is_no_candidate(shop: Shop, serving: Snapshot) -> None:
    assert shop.scan(serving, wish(Replace("pricing:price", "pricing:price"))) == NothingChanged()


def test_a_mount_can_be_edited_too(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.plugins.folder("pricing", "1.0.0", HANDLERS + 'more = "/more"\n', pricing="")
    serving = shop.candidate(None).snapshot
    edited = shop.edit(serving, Remove("pricing:guard"), pipeline="pricing:more")
    assert handlers(edited, "pricing:more") == ["pricing:price", "pricing:tax"]
    assert isinstance(shop.scan(edited, HUP), NothingChanged)
