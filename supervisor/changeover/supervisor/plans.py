"""What the supervisor tells the processes that it starts, derived from the settings."""

import os
from collections.abc import Mapping
from pathlib import Path

from changeover.supervisor.config.accounts import Account
from changeover.supervisor.config.rlimits import parse_rlimit
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.core.effects import Preflight
from changeover.supervisor.core.outcome import SilentWorkers
from changeover.supervisor.core.policy import Boot, Deadlines, Limits, Policy, Rhythm
from changeover.supervisor.interpreters.paths import OURS
from changeover.supervisor.process.zygote_process import ZygotePlan
from changeover.supervisor.upgrade import execution
from changeover.workers.protocol.belongings import Belongings
from changeover.workers.protocol.forking import Preload
from changeover.workers.protocol.rehearsal import Confinement, RehearsalOrder
from changeover.workers.protocol.snapshot import EMPTY, OWN, ApplicationSpec, Interpreter, PluginSpec, UnitSpec
from changeover.workers.runtime import counts
from changeover.workers.runtime.settings import Deadlines as WorkerDeadlines
from changeover.workers.runtime.settings import DrainDeadlines, WireSettings, WorkerHooks, WorkerSettings

AUTO, STDOUT = "auto", "-"
"""Where the access log goes, beside files."""
PREFLIGHT_LATE = 5.0
"""Seconds past its deadline that a rehearsal has until it is given up with nothing known; sooner it says more."""

PRELOAD_LATE = 10.0
"""Seconds past its deadline that a zygote has to be heard of: it writes down where it is, and is killed."""


def policy(settings: Settings) -> Policy:
    """The deadlines and limits of the supervisor's decisions."""
    wait, most = settings.deadlines, settings.recycle
    return Policy(
        boot=Boot(settings.boot),
        on_silent_workers=SilentWorkers(settings.on_silent_worker),
        preflight=settings.preflight.enabled,
        wave=max(1, (os.cpu_count() or 1) // 2),
        numbers=counts.SLOTS,
        deadlines=Deadlines(
            preflight=wait.preflight + PREFLIGHT_LATE,
            prepare=wait.prepare,
            boot=wait.boot,
            zygote=wait.preload + PRELOAD_LATE,
            graceful=wait.graceful,
            handover=wait.graceful + settings.drain.longest(),
            takeover=execution.TAKES + execution.RETURNS,
            rescue=wait.rescue,
        ),
        rhythm=Rhythm(heartbeat=wait.heartbeat, silence=wait.silence, hung=wait.hung),
        limits=Limits(
            most.requests,
            most.requests_jitter,
            most.lifetime,
            most.lifetime_jitter,
            most.memory,
            most.leaks,
            wait.request,
        ),
    )


def worker_settings(settings: Settings, runtime: Path, store: Path, held: Belongings) -> WorkerSettings:
    """What all workers have in common.

    Args:
        settings: The service's settings.
        runtime: The runtime directory, by the name that leaves room for a socket's.
        store: The artifact store.
        held: What they inherit.
    """
    wait = settings.deadlines
    return WorkerSettings(
        name=settings.name,
        runtime=str(runtime),
        store=str(store),
        slots=settings.slots(os.cpu_count() or 1),
        belongings=held,
        max_connections=settings.max_connections,
        epoch_header=settings.epoch_header,
        max_resident=settings.drain.max_resident,
        limits=settings.limits,
        wire=wire_settings(settings),
        drain=DrainDeadlines(settings.drain.http, settings.drain.stream, settings.drain.websocket, settings.drain.task),
        hooks=WorkerHooks(
            settings.hooks.after_fork, settings.hooks.worker_ready, settings.hooks.worker_exit, settings.hooks.deadline
        ),
        deadlines=WorkerDeadlines(wait.hook, wait.graceful, wait.orphan, wait.heartbeat, wait.silence, wait.request),
    )


def wire_settings(settings: Settings) -> WireSettings:
    """What workers do with every request beside serving it."""
    log = settings.access_log
    file = log.file if log.file != AUTO else STDOUT if os.isatty(1) else ""
    return WireSettings(settings.forwarded, settings.forwarded_headers, file, log.format)


def rehearsal_order(settings: Settings, store: Path, rehearsed: Preflight, threads: tuple[str, ...]) -> RehearsalOrder:
    """What a process is told that rehearses a candidate.

    Args:
        settings: The service's settings.
        store: The artifact store.
        rehearsed: What is to be rehearsed beside what.
        threads: Modules because of which the zygote that forks the process preloaded nothing.
    """
    application = rehearsed.candidate.application
    units = (*rehearsed.candidate.units, *(rehearsed.current or EMPTY).units)
    imports = application is not None and (bool(threads) or not application.preload)
    confinement = settings.preflight
    return RehearsalOrder(
        rehearsed.current,
        rehearsed.candidate,
        Confinement(
            confinement.memory,
            confinement.processes,
            confinement.output,
            settings.deadlines.preflight,
            settings.deadlines.hook,
        ),
        str(store),
        _preload(application, store) if application is not None and imports else None,
        after_fork=settings.hooks.after_fork,
        after_fork_within=settings.hooks.deadline,
        exempt=tuple(sorted({unit.key.ref for unit in units if _is_exempt(unit, rehearsed.exempt)})),
        vacant=rehearsed.candidate.is_roll,
        goes_back=rehearsed.goes_back,
        served=rehearsed.served,
        other_resources=rehearsed.other_resources,
    )


def _is_exempt(unit: UnitSpec, exempt: tuple[str, ...]) -> bool:
    return isinstance(unit, PluginSpec) and unit.key.ref.name in exempt


def _preload(application: ApplicationSpec, store: Path) -> Preload:
    """What a process imports that is to serve the application, or forks who does."""
    return Preload(
        application.target,
        application.directory,
        application.factory,
        str(store),
        application.artifact,
        application.distributions,
        strict=application.preload == "strict",
        interface=application.interface,
    )


def zygote_plan(
    settings: Settings,
    cohort: int,
    rolled: int,
    application: ApplicationSpec | None,
    store: Path,
    runtime: str,
    held: Belongings,
    journal: str,
    environment: Mapping[str, str],
    account: Account | None = None,
    interpreter: Interpreter = OWN,
) -> ZygotePlan:
    """What the zygote of a cohort is to be.

    Args:
        settings: The service's settings.
        cohort: Its number.
        rolled: The epoch whose roll makes it.
        application: The application that its workers are to serve; None for plugins alone.
        store: The artifact store.
        runtime: The runtime directory, where its workers make their sockets.
        held: What it inherits for its workers.
        journal: The journal that its workers belong to.
        environment: All of its environment.
        account: Whom it runs as, None for ourselves.
        interpreter: What executes it.
    """
    return ZygotePlan(
        cohort=cohort,
        name=settings.name,
        python=interpreter.python or OURS,
        directory=os.getcwd(),
        environment=environment,
        belongings=held,
        path=(application.directory,) if application is not None else (),
        preload=_preload(application, store) if application is not None and application.preload else None,
        orphan=settings.deadlines.orphan,
        ready=settings.deadlines.preload,
        account=account,
        umask=int(settings.umask, 8) if settings.umask else -1,
        rlimits=tuple(map(parse_rlimit, settings.rlimits)),
        no_new_privs=settings.no_new_privs,
        writable=(runtime, *settings.writable) if settings.landlock else None,
        journal=journal,
        rolled=rolled,
    )
