"""What signals mean, and that none is lost while the supervisor boots."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.supervisor.process.signals import (
    RULES,
    Meaning,
    Received,
    SignalInbox,
    Stopping,
    Terminal,
    meaning,
)
from changeover.workers.protocol.forking import STACKS_SIGNAL
from changeover.workers.runtime.birth import NEWBORN_SIGNALS
from changeover.workers.zygote.signals import IGNORED
from tests.waits import until

DOCUMENT = Path(__file__).parents[4] / "docs" / "signals.md"


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {signum: signal.getsignal(signum) for signum in RULES}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture
def inbox() -> SignalInbox:
    inbox = SignalInbox(Terminal.NONE)
    inbox.open()
    return inbox


def raise_signals(*signums: int) -> None:
    for signum in signums:
        os.kill(os.getpid(), signum)


@pytest.mark.parametrize(
    ("signum", "terminal", "first", "again"),
    [
        (signal.SIGHUP, Terminal.NONE, Meaning.RELOAD, Meaning.NOTHING),
        (signal.SIGTERM, Terminal.NONE, Meaning.STOP_GRACEFULLY, Meaning.STOP_QUICKLY),
        (signal.SIGINT, Terminal.NONE, Meaning.STOP_QUICKLY, Meaning.STOP_QUICKLY),
        (signal.SIGINT, Terminal.CONTROLLING, Meaning.STOP_GRACEFULLY, Meaning.STOP_QUICKLY),
        (signal.SIGQUIT, Terminal.CONTROLLING, Meaning.STOP_QUICKLY, Meaning.STOP_QUICKLY),
        (signal.SIGWINCH, Terminal.NONE, Meaning.DRAIN_WORKERS, Meaning.NOTHING),
        (signal.SIGWINCH, Terminal.CONTROLLING, Meaning.NOTHING, Meaning.NOTHING),
        (signal.SIGUSR1, Terminal.NONE, Meaning.REOPEN_LOGS, Meaning.REOPEN_LOGS),
        (signal.SIGCHLD, Terminal.NONE, Meaning.NOTHING, Meaning.NOTHING),
        (200, Terminal.NONE, Meaning.NOTHING, Meaning.NOTHING),
    ],
)
def test_a_signal_means_what_the_table_says(signum: int, terminal: Terminal, first: Meaning, again: Meaning) -> None:
    assert meaning(signum, Stopping.NO, terminal) is first
    assert meaning(signum, Stopping.GRACEFULLY, terminal) is again


async def test_signals_during_boot_are_delivered_afterwards_in_order(inbox: SignalInbox) -> None:
    raise_signals(signal.SIGHUP, signal.SIGTTIN)
    received: list[Received] = []
    loop = asyncio.get_running_loop()
    inbox.attach(loop, received.append)
    assert [each.meaning for each in received] == [Meaning.RELOAD, Meaning.MORE_WORKERS]
    raise_signals(signal.SIGTTOU)
    await until(lambda: len(received) == 3)
    assert received[2] == Received(signal.SIGTTOU, Meaning.FEWER_WORKERS)
    inbox.detach(loop)


async def test_the_second_term_is_quick_also_when_the_first_came_during_boot(inbox: SignalInbox) -> None:
    raise_signals(signal.SIGTERM)
    received: list[Received] = []
    loop = asyncio.get_running_loop()
    inbox.attach(loop, received.append)
    raise_signals(signal.SIGHUP, signal.SIGTERM)
    await until(lambda: len(received) >= 2)
    assert [each.meaning for each in received] == [Meaning.STOP_GRACEFULLY, Meaning.STOP_QUICKLY]
    inbox.detach(loop)


async def test_a_signal_while_the_loop_takes_over_is_delivered_once(
    inbox: SignalInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[Received] = []
    loop = asyncio.get_running_loop()
    add_reader = loop.add_reader

    def be_hit_and_add(*arguments: object) -> None:
        raise_signals(signal.SIGTERM)
        add_reader(*arguments)  # type: ignore[arg-type]
        raise_signals(signal.SIGUSR1)

    monkeypatch.setattr(loop, "add_reader", be_hit_and_add)
    inbox.attach(loop, received.append)
    await until(lambda: len(received) >= 2)
    raise_signals(signal.SIGUSR1)
    await until(lambda: len(received) >= 3)
    assert [each.meaning for each in received] == [
        Meaning.STOP_GRACEFULLY,
        Meaning.REOPEN_LOGS,
        Meaning.REOPEN_LOGS,
    ]
    inbox.detach(loop)


async def test_a_signal_that_another_thread_takes_is_delivered_once(inbox: SignalInbox) -> None:
    received: list[Received] = []
    loop = asyncio.get_running_loop()
    inbox.attach(loop, received.append)
    for _ in range(20):
        await asyncio.to_thread(signal.raise_signal, signal.SIGUSR1)
    await until(lambda: len(received) >= 20)
    assert len(received) == 20
    inbox.detach(loop)


async def test_after_the_end_a_signal_does_nothing(inbox: SignalInbox) -> None:
    received: list[Received] = []
    loop = asyncio.get_running_loop()
    inbox.attach(loop, received.append)
    inbox.detach(loop)
    raise_signals(signal.SIGTERM, signal.SIGHUP)
    assert received == []


def rows(section: str) -> dict[str, list[str]]:
    """The table under a heading of the document: signal -> its other columns."""
    text = DOCUMENT.read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return {row[0]: row[1:] for row in cells[2:]}


def test_the_document_says_of_the_supervisor_what_the_table_says() -> None:
    documented = rows("Supervisor")
    assert documented == {
        signum.name.removeprefix("SIG"): [
            rule.first.value,
            (rule.first if rule.at_terminal is None else rule.at_terminal).value,
            rule.again.value,
        ]
        for signum, rule in RULES.items()
    }


def test_the_document_names_every_signal_of_a_zygote() -> None:
    documented = rows("Zygote")
    ignored = {name for name, (what, *_) in documented.items() if what.startswith("ignored")}
    assert ignored == {signum.name.removeprefix("SIG") for signum in IGNORED}
    assert {"TERM", "RTMIN"} <= documented.keys()


def test_the_document_names_every_signal_of_a_worker() -> None:
    documented = rows("Worker")
    ours = {signum.name.removeprefix("SIG"): disposition for signum, disposition in NEWBORN_SIGNALS.items()}
    known = {name: documented[name][0] for name in ours if name in documented}
    words = {signal.SIG_IGN: "ignored", signal.SIG_DFL: "ends it"}
    assert known == {name: words[ours[name]] for name in known}
    assert ours.keys() - known.keys() == {"CHLD", "PIPE"}


def test_stacks_are_asked_for_with_a_real_time_signal() -> None:
    assert STACKS_SIGNAL == signal.SIGRTMIN
