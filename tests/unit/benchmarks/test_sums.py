"""The sums that verdicts rest on."""

import os
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from benchmarks import page, registry_poller
from benchmarks.chart import Chart, Series, Style, draw
from benchmarks.contents import Contents
from benchmarks.figures import slope, spread
from benchmarks.kernel import counters, grown, memory, processor
from benchmarks.load.process import total
from benchmarks.load.record import Fault, Kind, Mix, Tally
from benchmarks.machine import here
from benchmarks.publication import Result, Verdict
from benchmarks.samples import Sample, Stores, samples
from benchmarks.swap import Swap
from benchmarks.window_latency import divide, stall

from changeover.workers.plugins.manifest_reading import load
from changeover.workers.protocol.registry import Registry
from changeover.workers.protocol.snapshot import UnitKey, UnitKind, UnitRef

MS = 1_000_000


def sample(started: int, epoch: int, since: int = 0, done: int = 0) -> Sample:
    return Sample(Kind.BUSY, since or started, done or started, started, epoch, 0)


def swap(asked: int, stored: int, ended: int) -> Swap:
    return Swap(2, "m", asked, stored, {0: stored, 1: ended}, 0.0, 0.0, 0.0)


def test_a_start_on_the_old_epoch_after_the_store_is_late() -> None:
    stores = Stores([(2, 100), (3, 200)])
    on_time = [sample(50, 1), sample(99, 1), sample(101, 2), sample(150, 3), sample(300, 3)]
    late = [sample(100, 1), sample(201, 2), sample(201, 1)]
    assert stores.late(on_time + late) == late


def test_requests_are_divided_into_those_that_touch_a_window_and_those_that_touch_none() -> None:
    window = swap(1000 * MS, 1010 * MS, 1020 * MS)
    across = sample(0, 1, since=990 * MS, done=1001 * MS)
    around = sample(0, 1, since=900 * MS, done=1500 * MS)
    guarded = sample(0, 2, since=1021 * MS, done=1022 * MS)
    after = sample(0, 2, since=1200 * MS, done=1201 * MS)
    before = sample(0, 1, since=900 * MS, done=901 * MS)
    assert divide([before, across, around, guarded, after], [window]) == ([across, around], [after])
    found = stall(across, [window], [995 * MS, 1001 * MS])
    assert (found.place, found.meanwhile) == ("before SIGHUP", 1)


def test_two_loads_are_added_up_and_what_is_confused_is_named() -> None:
    one, two = Tally(), Tally()
    one.answered(Kind.BUSY, 1, 2, 1, 7, 0, "a")
    two.answered(Kind.BUSY, 1, 2, 1, 7, 3, "b")
    two.answered(Kind.LONG, 1, 2, 1, 8, 3, "b")
    two.fault(Kind.BUSY, Fault.EOF_INSIDE, 3)
    two.fault(Kind.IDLE, Fault.RESET_IDLE, 3)
    two.fault(Kind.IDLE, Fault.STATUS, 3)
    reports = (one.report(), two.report())
    added = total(reports)
    assert added.requests == {Kind.BUSY: 2, Kind.LONG: 1}
    assert (added.failed, added.closed) == (2, 2)
    assert added.confused == ("epoch 7: ['a', 'b']", "content b: epochs [7, 8]")
    assert [(s.kind, s.epoch, s.slot) for s in samples(reports)] == [
        (Kind.BUSY, 7, 0),
        (Kind.BUSY, 7, 3),
        (Kind.LONG, 8, 3),
    ]


def test_a_mix_is_dealt_out_without_losing_a_client() -> None:
    shares = Mix(busy=5, idle=1).split(2)
    assert [share.busy for share in shares] == [3, 2]
    assert all(sum(share.of(kind) for share in shares) == Mix(busy=5, idle=1).of(kind) for kind in Kind)


def registry(epoch: int, since: int, digest: str) -> Registry:
    return Registry(epoch, (UnitKey(UnitRef(UnitKind.PLUGIN, "probe"), digest, since),))


@pytest.mark.parametrize(
    ("registries", "wrong"),
    [
        ([registry(2, 2, "a"), registry(3, 3, "b"), registry(2, 2, "a")], 0),
        ([registry(3, 2, "a")], 1),
        ([registry(2, 2, "a"), registry(3, 3, "a")], 1),
        ([registry(2, 2, "a"), registry(2, 2, "b")], 1),
        ([Registry(2)], 1),
    ],
)
def test_an_epoch_with_another_epochs_registry_is_found(registries: list[Registry], wrong: int) -> None:
    assert len(registry_poller.mixed(registries)) == wrong


def test_a_read_that_is_older_than_one_before_is_found() -> None:
    seen = [(0.0, 0, Registry(2)), (0.0, 1, Registry(3)), (0.0, 0, Registry(3)), (0.0, 0, Registry(2))]
    assert registry_poller.backwards(seen) == 1


def test_quantiles_and_slopes() -> None:
    found = spread([float(n) for n in range(1, 1001)])
    assert (found.median, found.p99, found.p999, found.worst) == (500.5, 990.0, 999.0, 1000.0)
    assert slope([(0, 5), (1, 7), (2, 9)]) == pytest.approx(2.0)


def test_the_kernel_counts_this_process() -> None:
    before = counters()
    assert "TcpExt ListenOverflows" in before
    assert grown(before, {name: count + (name == "Tcp OutRsts") for name, count in before.items()}) == {
        "Tcp OutRsts": 1
    }
    assert processor([os.getpid()]).used > 0
    found = memory(os.getpid())
    assert found.rss >= found.pss >= found.uss > 0


def test_every_content_differs_and_is_a_plugin_of_the_same_size(tmp_path: Path) -> None:
    contents = Contents(tmp_path)
    sizes = set()
    markers = [contents.marker]
    for _ in range(3):
        sizes.add(sum(path.stat().st_size for path in tmp_path.rglob("*.*")))
        manifest = load(tmp_path / "probe")
        assert manifest.version == f"1.{markers[-1][1:]}"
        markers.append(contents.renew())
    assert len(set(markers)) == 4
    assert len(sizes) == 1
    assert f'MARKER = "{markers[-1]}"' in (tmp_path / "probe/probe/content.py").read_text()


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_chart_is_drawn_whatever_its_points(logarithmic: bool) -> None:
    series = (
        Series("some & more", [(0.5, 1), (30, 2)]),
        Series("dots", [(4, 4)], Style.DOTS),
        Series("none", [], Style.DOTS),
        Series("no line", []),
    )
    drawn = ElementTree.fromstring(draw(Chart("a < b", "x", "y", series, logarithmic, edges=(1.0,))))
    assert "a < b" in [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert ElementTree.fromstring(draw(Chart("empty", "x", "y", ()))) is not None


def test_the_page_keeps_its_words_and_changes_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "benchmarks.md"
    file.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    verdict = Verdict("nothing is lost", "0", "1", False)
    result = Result("A title", here("benchmarks.x"), False, (verdict,), (("a", "b"), ("1", "2|3")), ("a note",))
    (tmp_path / "x.json").write_bytes(msgspec.json.encode(result))
    page.rewrite(("x", "absent"), (), file, tmp_path)
    text = file.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| nothing is lost | 0 | 1 | **fails** |" in text
    assert "| 1 | 2\\|3 |" in text
    page.rewrite(("x",), (), file, tmp_path)
    assert file.read_text() == text
