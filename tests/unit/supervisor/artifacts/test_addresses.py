import pytest

from changeover.supervisor.artifacts.addresses import Chosen, at_start, choose, difference
from changeover.supervisor.artifacts.reach import Reach
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.core.entries import Held, Origin, Recovered, Trigger
from changeover.supervisor.core.holding import ADDRESSES, addresses_content
from changeover.supervisor.core.outcome import CutoverRequest, Strategy
from changeover.workers.protocol.reload import read_reload
from changeover.workers.protocol.snapshot import Snapshot

SERVING = Snapshot(7, "digest", listen=("a:1", "b:2"))
HUP = CutoverRequest(Origin(Trigger.HUP))
MOVED = ("b:2", "c:3")
HELD = frozenset({Held(ADDRESSES, addresses_content(MOVED))})


def chosen(bind: tuple[str, ...], request: CutoverRequest = HUP, held: frozenset[Held] = frozenset()) -> Chosen:
    return choose(bind, request, Reach(request, Settings(), SERVING), SERVING, held)


def test_other_addresses_take_a_roll() -> None:
    assert chosen(MOVED) == Chosen(MOVED, rolls=True)


def test_the_same_addresses_in_another_order_are_no_change() -> None:
    assert chosen(("b:2", "a:1")) == Chosen(("b:2", "a:1"))


@pytest.mark.parametrize(
    "request_", [
        CutoverRequest(Origin(Trigger.COMMAND), strategy=Strategy.SWAP),
        CutoverRequest(Origin(Trigger.COMMAND), only=("pricing",)),
        CutoverRequest(Origin(Trigger.WATCH), policy=read_reload("on-change")),
    ], ids=["swap", "only", "watching"],
)  # fmt: skip
def test_who_asks_for_less_keeps_the_addresses_and_hears_so(request_: CutoverRequest) -> None:
    assert chosen(MOVED, request_) == Chosen(SERVING.listen, changed=("addresses: +c:3, -a:1 (needs a roll)",))


def test_what_was_rolled_back_stays_away() -> None:
    found = chosen(MOVED, held=HELD)
    assert found.listen == SERVING.listen
    assert not found.rolls
    assert found.held == ("not taken: addresses (held; change it, or --force)",)
    assert chosen(("d:4",), held=HELD).rolls


def test_a_start_listens_where_the_configuration_says() -> None:
    boot = CutoverRequest(Origin(Trigger.BOOT))
    assert chosen(MOVED, boot) == Chosen(MOVED)
    assert at_start(MOVED, "auto", Recovered("j", committed=SERVING)) == MOVED
    assert at_start(MOVED, "auto", Recovered("j")) == MOVED


def test_a_start_that_serves_what_was_committed_listens_where_that_was_served() -> None:
    assert at_start(MOVED, "last", Recovered("j", committed=SERVING)) == SERVING.listen
    assert at_start(MOVED, "auto", Recovered("j", committed=SERVING, held=HELD)) == SERVING.listen
    assert at_start(MOVED, "last", Recovered("j", committed=Snapshot(1, "old"))) == MOVED


def test_the_difference_counts_addresses_whose_port_the_kernel_chooses() -> None:
    assert difference(("a:0",), ("a:0", "a:0", "b:1")) == "+a:0, +b:1"
    assert difference(("a:0", "a:0"), ("a:0",)) == "-a:0"
