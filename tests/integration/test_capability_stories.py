"""Whole rehearsals of plugins that do what needs a capability."""

from pathlib import Path

import pytest

from changeover.workers.protocol.refusal import Fault, Stage
from changeover.workers.runtime import landlock
from tests.rehearsing import FINE, MANIFEST, OWN, Orders, kept

HIDING = (
    OWN
    + "    def on_load(self, ctx):\n"
    + "        try: socket.create_connection(('127.0.0.1', 9), 1)\n"
    + "        except OSError: pass\n"
)


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    return Orders(tmp_path)


def test_a_candidate_that_goes_on_without_is_refused(orders: Orders) -> None:
    report = kept(orders.order(orders.plugin(HIDING, granted=())))
    assert report.refusal is not None
    assert (report.refusal.stage, report.refusal.fault) == (Stage.PREFLIGHT, Fault.CAPABILITY)
    assert report.refusal.unit == "plugin geo"
    assert report.refusal.where.startswith("geo.py:")


def test_a_candidate_that_was_granted_it_passes(orders: Orders) -> None:
    report = kept(orders.order(orders.plugin(HIDING, granted=("net",))))
    assert report.refusal is None
    assert report.modules == 1


def test_what_serves_does_not_refuse_the_candidate(orders: Orders) -> None:
    serving = orders.plugin(HIDING, granted=())
    assert kept(orders.order(FINE, current=(serving,))).refusal is None


def test_what_a_former_version_was_granted_the_next_one_has_to_ask_for(orders: Orders) -> None:
    former = orders.plugin(HIDING, granted=("net",))
    latter = orders.plugin(HIDING, version="2.0", granted=("write",))
    refusal = kept(orders.order(latter, current=(former,))).refusal
    assert refusal is not None
    assert refusal.fault is Fault.CAPABILITY


@pytest.mark.parametrize("granted", [("native",), ("native", "write")])
def test_what_the_hook_does_not_see_the_kernel_keeps_a_plugin_from(orders: Orders, granted: tuple[str, ...]) -> None:
    target = orders.folder / "outside"
    target.mkdir()
    target.chmod(0o777)
    code = OWN + f"    def on_load(self, ctx): ctypes.CDLL(None).creat({bytes(target / 'new')!r}, 0o600)\n"
    report = kept(orders.order(orders.plugin(code, granted=granted)))
    assert report.refusal is None
    if landlock.abi() >= landlock.LEAST_ABI or "write" in granted:
        assert (target / "new").exists() == ("write" in granted)


CONNECT = "socket.create_connection(('127.0.0.1', 9), 1)"
STATEFUL = 'state = ">=1"\n' + MANIFEST


def test_what_a_former_version_does_as_it_ends_does_not_refuse_the_next_one(orders: Orders) -> None:
    former = OWN + f"    def on_unload(self): {CONNECT}\n"
    report = kept(orders.order(FINE, current=(orders.plugin(former, granted=()),)))
    assert report.refusal is None
    assert "ConnectionRefusedError" in report.warnings[0]


def test_what_a_former_version_gives_its_state_for_does_not_refuse_the_next_one(orders: Orders) -> None:
    exporting = (
        OWN
        + "    def export_state(self):\n"
        + f"        try: {CONNECT}\n"
        + "        except ConnectionRefusedError: return b'kept'\n"
    )
    importing = OWN + "    def import_state(self, old, state): print(state)\n"
    former = orders.plugin(exporting, manifest=STATEFUL, granted=())
    report = kept(orders.order(orders.plugin(importing, manifest=STATEFUL, granted=()), current=(former,)))
    assert (report.refusal, report.output) == (None, "b'kept'\n")


BUSY = (
    OWN
    + "    def on_load(self, ctx):\n"
    + "        self.came = threading.Event()\n"
    + "        threading.Thread(target=self.work, daemon=True).start()\n"
    + "        self.came.wait(5)\n"
    + "    def work(self):\n"
    + "        while True:\n"
    + f"            try: {CONNECT}\n"
    + "            except OSError: self.came.set()\n"
    + "            time.sleep(0.001)\n"
)


def test_what_a_thread_of_what_serves_does_does_not_refuse_the_candidate(orders: Orders) -> None:
    busy = orders.plugin(BUSY, id="busy", granted=())
    slow = OWN + "    def on_reload(self, ctx, old): time.sleep(0.1)\n"
    assert kept(orders.order(busy, slow, current=(busy, FINE))).refusal is None


def test_what_a_thread_of_the_candidate_does_refuses_it(orders: Orders) -> None:
    refusal = kept(orders.order(orders.plugin(BUSY, id="busy", granted=()), FINE)).refusal
    assert refusal is not None
    assert (refusal.unit, refusal.fault) == ("plugin busy", Fault.CAPABILITY)


def test_what_a_candidate_does_as_it_ends_is_its_own(orders: Orders) -> None:
    code = OWN + f"    def on_unload(self): {CONNECT}\n"
    report = kept(orders.order(orders.plugin(code, granted=())))
    assert report.refusal is not None
    assert (report.refusal.unit, report.refusal.fault) == ("plugin geo", Fault.CAPABILITY)
