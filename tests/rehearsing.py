"""Orders for rehearsals of plugins that are written as text, and a keeper of our own that carries them out."""

import dataclasses
import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import multiprocess

from changeover.workers.generation.solo import SoloSnapshot, Stored, store_plugin
from changeover.workers.preflight.keeper import keep
from changeover.workers.protocol.rehearsal import (
    Confinement,
    RehearsalOrder,
    RehearsalReport,
    decode_report,
    encode,
    with_other_resources,
)
from changeover.workers.protocol.snapshot import EMPTY, Snapshot

MODULES = "asyncio, ctypes, gc, os, resource, signal, socket, subprocess, sys, threading, time"
HEAD = f"from changeover.plugin import *\nimport {MODULES}\n"
OWN = HEAD + "class Own(Plugin[None]):\n"
FINE = OWN + "    pass\n"

MANIFEST = 'plugin = "{id}:Own"\n'
UNWATCHED = ("exec", "native", "net")
"""Capabilities of plugins that are there for what the process keeps them from, and not the hook."""
CONFINEMENT = Confinement(memory=512 * 2**20, processes=32, deadline=20.0, hook=10.0)


class Orders:
    """Writes plugins and orders their rehearsal.

    Args:
        folder: Where they are written; the store is in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self._numbers = itertools.count(1)

    def plugin(
        self,
        code: str,
        *,
        id: str = "geo",
        version: str = "1.0",
        manifest: str = MANIFEST,
        granted: tuple[str, ...] = UNWATCHED,
        rules: str = "",
    ) -> Stored:
        """Store a plugin of one module; with `rules`, also of such a file."""
        root = self.folder / f"{id}-{next(self._numbers)}"
        root.mkdir()
        (root / "plugin.toml").write_text(f'id = "{id}"\nversion = "{version}"\n' + manifest.format(id=id))
        (root / f"{id}.py").write_text(code)
        if rules:
            (root / "rules.toml").write_text(rules)
        return dataclasses.replace(store_plugin(root, self.store, {}), granted=granted)

    def snapshot(self, epoch: int, before: Snapshot, *plugins: Stored) -> Snapshot:
        """A generation of these plugins."""
        solo = SoloSnapshot(epoch, before)
        solo.add_plugins({stored.manifest.id: stored for stored in plugins})
        for stored in plugins:
            solo.add_services(stored.manifest)
        return solo.snapshot()

    def order(
        self, *candidate: Stored | str, current: tuple[Stored | str, ...] | None = (FINE,), **settings: Any
    ) -> RehearsalOrder:
        """Have plugins rehearsed beside those that serve; text is the code of the plugin `geo`."""
        serves = None
        if current is not None:
            serves = self.snapshot(1, EMPTY, *map(self._stored, current))
        wanted = self.snapshot(2, serves or EMPTY, *map(self._stored, candidate))
        confinement = msgspec.structs.replace(CONFINEMENT, **settings)
        other = with_other_resources(wanted, serves or EMPTY)
        return RehearsalOrder(serves, wanted, confinement, str(self.store), other_resources=other)

    def _stored(self, plugin: Stored | str) -> Stored:
        return self.plugin(plugin) if isinstance(plugin, str) else plugin


def kept(order: RehearsalOrder, prepare: Callable[[], object] = lambda: None) -> RehearsalReport:
    """Rehearse in processes forked off this one.

    Args:
        order: What to rehearse.
        prepare: Called in the keeper's process before it begins.
    """
    reading, writing = os.pipe()
    process = multiprocess.get_context("fork").Process(target=_keep, args=(order, prepare, writing))
    process.start()
    os.close(writing)
    with open(reading, "rb") as answer:
        data = answer.read()
    process.join(10)
    assert process.exitcode == 0, f"the keeper ended with {process.exitcode}"
    process.close()
    return decode_report(data)


def _keep(order: RehearsalOrder, prepare: Callable[[], object], writing: int) -> None:
    os.setsid()
    signal.set_wakeup_fd(-1)
    sys.stdout, sys.stderr, sys.unraisablehook = sys.__stdout__, sys.__stderr__, sys.__unraisablehook__  # not pytest's
    prepare()
    report = keep(order, "", ())
    with open(writing, "wb") as answer:
        answer.write(encode(report))


def running(*arguments: str) -> list[int]:
    """The processes, of anybody, that run a command; zombies have none."""
    wanted = "\0".join((*arguments, "")).encode()
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and (folder / "cmdline").read_bytes() == wanted:
                found.append(int(folder.name))
        except OSError:
            continue
    return found
