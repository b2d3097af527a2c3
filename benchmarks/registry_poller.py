"""Whoever observes an epoch observes its registry: a poller looks while a thousand swaps go by.

Every swap changes the one plugin, so the registry of epoch N lists the plugin's unit as introduced by N, with a
digest that no other epoch has. Anything else beside N would be an old registry under a new epoch, or the reverse.
"""

import sys
import threading
import time
from collections import defaultdict

from benchmarks.chart import Chart, Series, Style
from benchmarks.machine import here
from benchmarks.publication import Result, Verdict, parser, publish
from benchmarks.subject import Subject, serving
from benchmarks.swap import Swapper
from changeover.supervisor.api.client import Client, NoAnswer, ProblemAnswered
from changeover.supervisor.control import RegistryView
from changeover.workers.protocol.registry import Registry
from changeover.workers.protocol.snapshot import UnitKind

NAME = "registry_poller"
WORKERS = 4
DRAWN = 4000


class PollerResult(Result, frozen=True, kw_only=True):
    """What the command found.

    Attributes:
        swaps: How many there were.
        reads: Registries that were read.
        epochs: Different epochs among them.
        mixed: Reads whose epoch and registry do not belong together.
        backwards: Reads that were older than an earlier one of the same worker.
        unanswered: Requests without an answer.
        seconds: That the swaps took.
    """

    swaps: int
    reads: int
    epochs: int
    mixed: tuple[str, ...]
    backwards: int
    unanswered: tuple[str, ...]
    seconds: float


class Poller(threading.Thread):
    """Reads the registries of all slots in turn, as fast as it gets answers.

    Attributes:
        seen: When, which slot, and the registry.
        unanswered: What was said instead of an answer.
    """

    def __init__(self, subject: Subject) -> None:
        super().__init__(name="poller")
        self._client = Client(subject.control.path)
        self._ending = threading.Event()
        self.seen: list[tuple[float, int, Registry]] = []
        self.unanswered: list[str] = []

    def run(self) -> None:
        """Poll until `end`."""
        while not self._ending.is_set():
            for slot in range(WORKERS):
                try:
                    view = self._client.get(f"/v1/workers/{slot}/registry", RegistryView)
                except (NoAnswer, ProblemAnswered) as error:
                    self.unanswered.append(str(error))
                else:
                    self.seen.append((time.monotonic(), slot, view.registry))

    def end(self) -> None:
        """Stop polling, and wait for the last answer."""
        self._ending.set()
        self.join()


def mixed(registries: list[Registry]) -> list[str]:
    """What does not belong together, in words."""
    digests: dict[int, set[str]] = defaultdict(set)
    epochs: dict[str, set[int]] = defaultdict(set)
    found: list[str] = []
    for registry in registries:
        for unit in registry.units:
            if unit.ref.kind is UnitKind.PLUGIN:
                digests[registry.epoch].add(unit.digest)
                epochs[unit.digest].add(registry.epoch)
                if unit.since != registry.epoch:
                    found.append(f"epoch {registry.epoch} with a plugin since epoch {unit.since}")
        if not registry.units:
            found.append(f"epoch {registry.epoch} without units")
    found += [f"epoch {epoch} with {len(several)} contents" for epoch, several in digests.items() if len(several) > 1]
    return found + [f"content {d[:6]} in epochs {sorted(several)}" for d, several in epochs.items() if len(several) > 1]


def backwards(seen: list[tuple[float, int, Registry]]) -> int:
    """Reads of a slot that are older than one before."""
    latest: dict[int, int] = defaultdict(int)
    count = 0
    for _, slot, registry in seen:
        count += registry.epoch < latest[slot]
        latest[slot] = max(latest[slot], registry.epoch)
    return count


def main(arguments: list[str]) -> int:
    """Swap and poll."""
    options = parser(f"benchmarks.{NAME}", __doc__).parse_args(arguments)
    machine = here(f"benchmarks.{NAME}")
    swaps = 20 if options.quick else 1000
    with serving(WORKERS) as subject:
        poller, swapper = Poller(subject), Swapper(subject, settle=0.0)
        began = time.monotonic()
        poller.start()
        try:
            for _ in range(swaps):
                swapper.swap()
        finally:
            poller.end()
        seconds = time.monotonic() - began
    registries = [registry for _, _, registry in poller.seen]
    wrong, older, epochs = mixed(registries), backwards(poller.seen), len({r.epoch for r in registries})
    result = PollerResult(
        title=f"Registries read while {swaps} swaps go by",
        machine=machine,
        quick=options.quick,
        verdicts=(
            Verdict("reads of an epoch with another epoch's registry", "0", str(len(wrong)), not wrong),
            Verdict("reads older than an earlier one of the same worker", "0", str(older), not older),
            Verdict("requests without an answer", "0", str(len(poller.unanswered)), not poller.unanswered),
            Verdict("reads", f">= {swaps}", str(len(registries)), len(registries) >= swaps),
        ),
        rows=(
            ("swaps", "seconds", "reads", "epochs seen", "mixed", "backwards"),
            tuple(map(str, (swaps, round(seconds, 1), len(registries), epochs, len(wrong), older))),
        ),
        notes=tuple(wrong[:5] + poller.unanswered[:5]),
        swaps=swaps,
        reads=len(registries),
        epochs=epochs,
        mixed=tuple(wrong[:100]),
        backwards=older,
        unanswered=tuple(poller.unanswered[:100]),
        seconds=seconds,
    )
    return publish(NAME, result, _chart(poller.seen, began), options.out)


def _chart(seen: list[tuple[float, int, Registry]], began: float) -> Chart:
    thin = 1 + len(seen) // DRAWN
    series = (
        Series(
            f"slot {slot}",
            [(at - began, registry.epoch) for at, place, registry in seen[::thin] if place == slot],
            Style.DOTS,
        )
        for slot in range(WORKERS)
    )
    return Chart("Epochs that the poller read", "seconds", "epoch", tuple(series))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
