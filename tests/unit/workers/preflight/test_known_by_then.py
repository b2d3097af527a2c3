"""What is known of a candidate is not lost where something that served so takes the rehearsal's process with it."""

import pytest

from changeover.workers.protocol.refusal import Fault
from changeover.workers.protocol.rehearsal import RehearsalReport
from tests.rehearsing import FINE, MANIFEST, OWN, Orders, kept

RULED = MANIFEST + 'resources = {{ rules = {{ path = "rules.toml" }} }}\n'
DIES = OWN + "    def on_resources(self, changed): ...\n    def on_unload(self): os._exit(3)\n"
SNEAKS = (
    OWN
    + """    def on_load(self, ctx):
        try: socket.socket().bind(('127.0.0.1', 0))
        except PermissionError: pass
"""
)
HANGS = OWN + "    def on_unload(self): time.sleep(1.5)\n"
RELOADS = OWN + "    def on_load(self, ctx): raise OSError('alone')\n    def on_reload(self, ctx, old): ...\n"
ONCE = (
    OWN
    + """    def on_load(self, ctx):
        if hasattr(sys, '_loaded'): os.kill(os.getpid(), signal.SIGSEGV)
        sys._loaded = 1
"""
)
REQUIRES = 'requires = {{ log = ">=1" }}\n' + MANIFEST


def beside_what_dies(orders: Orders, code: str) -> RehearsalReport:
    """Other code of a plugin, and other resources of one that ends its process in `on_unload`."""
    rules = [orders.plugin(DIES, id="aaa", manifest=RULED, rules=text) for text in ("a = 1", "a = 2")]
    old, new = (orders.plugin(each, granted=()) for each in (FINE, code))
    return kept(orders.order(rules[1], new, current=(rules[0], old), hook=0.5))


def test_one_that_does_nothing_wrong_passes_with_a_word_of_what_died(orders: Orders) -> None:
    report = beside_what_dies(orders, OWN + "    def on_load(self, ctx): ...\n")
    assert (report.refusal, report.unproved) == (None, False)
    assert "what serves cannot be ended in a preflight" in report.warnings[-1]


@pytest.mark.parametrize(
    ("code", "fault", "told"),
    [(SNEAKS, Fault.CAPABILITY, "the capability net"), (HANGS, Fault.TIMEOUT, "0.5 s")],
    ids=["took what it was not granted", "hangs in on_unload"],
)
def test_one_that_is_refused_by_then_is_refused(orders: Orders, code: str, fault: Fault, told: str) -> None:
    refusal = beside_what_dies(orders, code).refusal
    assert refusal is not None
    assert (refusal.unit, refusal.fault) == ("plugin geo", fault)
    assert told in refusal.summary


def test_one_that_has_still_to_be_loaded_alone_is_reported_so(orders: Orders) -> None:
    report = beside_what_dies(orders, RELOADS)
    assert (report.refusal, report.unproved) == (None, True)


def test_one_that_hangs_as_it_is_loaded_alone_is_refused_with_where_it_stands(orders: Orders) -> None:
    hangs = OWN + "    async def on_load(self, ctx): time.sleep(60)\n    def on_reload(self, ctx, old): ...\n"
    shop = orders.plugin(FINE, id="shop")
    report = kept(orders.order(shop, hangs, current=(shop, FINE), deadline=4.0))
    assert (report.skipped, report.unproved) == ("", False)
    assert report.refusal is not None
    assert (report.refusal.fault, report.refusal.unit, report.refusal.hook) == (Fault.TIMEOUT, "plugin geo", "on_load")
    assert "not done within 4 s" in report.refusal.summary


@pytest.mark.parametrize("strategy", ["", 'strategy = "roll"\n'], ids=["swapped", "rolled"])
def test_what_it_requires_and_lives_once_in_a_process_accuses_nobody(orders: Orders, strategy: str) -> None:
    log = orders.plugin(ONCE, id="log", manifest=strategy + MANIFEST)
    old, new = (
        orders.plugin(code, manifest=REQUIRES) for code in (FINE, OWN + "    def on_reload(self, ctx, old): ...\n")
    )
    order = orders.order(log, new, current=(log, old))
    report = kept(order)
    assert (report.refusal, report.skipped, report.unproved) == (None, "", True)
    assert report.modules == 2
    assert kept(order.alone()).refusal is None
