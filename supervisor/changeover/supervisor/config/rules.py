"""What settings must be beyond their types. Pure."""

import re
import shlex
from collections.abc import Iterator

from changeover.supervisor.config import handlers, matches, rlimits
from changeover.supervisor.config.channels import channel_mistakes, network_mistakes
from changeover.supervisor.config.settings import Hooks, Pipeline, Settings
from changeover.workers.plugins import capabilities
from changeover.workers.plugins.manifest_mistakes import mount_mistakes, reload_mistakes
from changeover.workers.protocol.document import Mistake, below, nearest
from changeover.workers.protocol.reload import read_reload

MAX_HEAD = 64 * 1024
"""Bytes: an unread head must fit the message in which a connection is handed over."""

MOST_WORKERS = 256
"""In a roll there are twice as many, and each has its place on a shared page."""

LEAST_MEMORY = 16 * 1024 * 1024
"""Bytes that a preflight has to have at least."""

LEAST_PROCESSES = 8
"""Processes and threads that a preflight has to have at least."""

NOTHING_TO_SERVE = (
    "nothing to serve: name an application (`changeover run MODULE:APP`, or `[app] target` in the configuration) or a "
    "folder of plugins (`--plugins DIR`, or `[plugins] dir`)"
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_NAMED = re.compile(r"[a-z][a-z0-9_-]*:[a-z][a-z0-9_-]*")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_UMASK = re.compile(r"(?:0o)?[0-7]{1,4}|")
_BIND = re.compile(r"unix:.+|fd://[^:/\s-][^:/\s]*|(\[[0-9A-Fa-f:.%]+\]|[^\[\]:/\s]*):(?P<port>\d+)")


def mistakes(settings: Settings) -> list[Mistake]:
    """Say everything that settings must not be, area by area."""
    found = [Mistake(path, message) for path, ok, message in _rules(settings) if not ok]
    for index, address in enumerate(settings.bind):
        found += _bind_mistakes(f"$.bind[{index}]", address, address in settings.bind[:index])
    found += channel_mistakes(settings.bind, settings.tls, settings.proxies, settings.channels)
    found += network_mistakes("$.forwarded", settings.forwarded)
    found += _hook_mistakes(settings.hooks)
    found += rlimits.mistakes("$.rlimits", settings.rlimits)
    found += _reload_mistakes("$.plugins.reload", settings.plugins.reload)
    found += reload_mistakes("$.app.reload", settings.app.reload) if settings.app else []
    for name, plugin in settings.plugins.entries.items():
        mounts = {"": plugin.mount} if isinstance(plugin.mount, str) else plugin.mount or {}
        if plugin.reload:
            found += _reload_mistakes(f"$.plugins.{name}.reload", plugin.reload)
        for service, mount in mounts.items():
            at = below(f"$.plugins.{name}.mount", service) if service else f"$.plugins.{name}.mount"
            found += mount_mistakes(at, mount) if mount else []
        for place, capability in enumerate(plugin.grant):
            if wrong := capabilities.unknown(capability):
                found.append(Mistake(f"$.plugins.{name}.grant[{place}]", wrong))
    for index, pipeline in enumerate(settings.pipelines):
        found += _pipeline_mistakes(f"$.pipelines[{index}]", pipeline, settings.pipelines[:index], settings)
    return found


def _rules(settings: Settings) -> Iterator[tuple[str, bool, str]]:
    """Path, whether it holds, and what to do when it does not."""
    limits, deadlines, drain, preflight = settings.limits, settings.deadlines, settings.drain, settings.preflight
    yield "$.name", bool(_NAME.fullmatch(settings.name)), "letters, digits, `.`, `-` and `_`, at most 64"
    yield "$.bind", bool(settings.bind), "names no address to listen on"
    workers = f"must be 1 to {MOST_WORKERS}, or `auto`"
    yield "$.workers", settings.workers == "auto" or 1 <= settings.workers <= MOST_WORKERS, workers
    yield "$.backlog", settings.backlog >= 1, "must be at least 1"
    yield "$.max_connections", settings.max_connections >= 0, "must be 0 or more"
    yield "$.umask", bool(_UMASK.fullmatch(settings.umask)), f"{settings.umask!r} is no octal number like `027`"
    landlock = "needs `no_new_privs`: the kernel takes no rules from who could get out of them"
    yield "$.landlock", not settings.landlock or settings.no_new_privs, landlock
    yield "$.history.keep", settings.history.keep >= 1, "must be at least 1: the committed epoch is always kept"
    yield "$.drain.max_resident", drain.max_resident >= 2, "must be at least 2: a swap holds two copies for a moment"
    yield "$.drain.address", drain.address > 0, "must be above 0: connections on their way there are still to be taken"
    memory = f"must be at least {LEAST_MEMORY} bytes: importing anything takes some"
    yield "$.preflight.memory", preflight.memory >= LEAST_MEMORY, memory
    processes = f"must be at least {LEAST_PROCESSES}: threads count, also those that run hooks"
    yield "$.preflight.processes", preflight.processes >= LEAST_PROCESSES, processes
    yield "$.preflight.output", preflight.output >= 0, "must be 0 (nothing is kept) or more"
    yield "$.limits.head", 256 <= limits.head <= MAX_HEAD, f"must be 256 to {MAX_HEAD} bytes"
    yield "$.limits.url", 64 <= limits.url <= limits.head, "must be 64 bytes at least and `limits.head` at most"
    yield "$.limits.fields", limits.fields >= 1, "must be at least 1"
    yield "$.limits.streams", limits.streams >= 1, "must be at least 1"
    yield "$.limits.body", limits.body >= 0, "must be 0 (unlimited) or more"
    yield "$.limits.unread", 1024 <= limits.unread <= MAX_HEAD, f"must be 1024 to {MAX_HEAD} bytes"
    for key in ("hook", "graceful", "heartbeat", "preflight", "prepare", "preload", "boot"):
        yield f"$.deadlines.{key}", getattr(deadlines, key) > 0, "must be above 0: every wait ends"
    for key in ("requests", "requests_jitter", "lifetime", "lifetime_jitter", "memory", "leaks"):
        yield f"$.recycle.{key}", getattr(settings.recycle, key) >= 0, "must be 0 (no limit) or more"
    hung = "must be 0 (never), or longer than `deadlines.silence`"
    yield "$.deadlines.hung", deadlines.hung == 0 or deadlines.hung > deadlines.silence, hung
    request = "must be 0 (never), or longer than `deadlines.heartbeat`, which tells of it"
    yield "$.deadlines.request", deadlines.request == 0 or deadlines.request > deadlines.heartbeat, request
    silent = "must be longer than `deadlines.heartbeat`, or every worker counts as silent"
    yield "$.deadlines.silence", deadlines.silence > deadlines.heartbeat, silent
    mixed = "names `forwarded` beside others: a proxy writes one kind, and passes the other on as its client sent it"
    told = settings.forwarded_headers
    yield "$.forwarded_headers", "forwarded" not in told or len(told) == 1, mixed
    yield "$.watch.rescan", settings.watch.rescan >= 0.1, "must be at least 100ms"
    phases = ("head_timeout", "body_timeout", "keep_alive", "first_byte", "write_timeout")
    for key in (*phases, "held", "half_closed", "linger", "close_timeout"):
        yield f"$.limits.{key}", getattr(limits, key) > 0, "must be above 0: every wait ends"
    for key in ("ping_interval", "ping_timeout"):
        yield f"$.limits.{key}", getattr(limits, key) >= 0, "must be 0 (never) or more"
    for key in ("message", "messages"):
        yield f"$.limits.{key}", getattr(limits, key) >= 1, "must be at least 1"
    serves = settings.app is not None or bool(settings.plugins.dir)
    yield "$", serves, NOTHING_TO_SERVE
    if settings.app:
        yield "$.app.target", bool(_TARGET.fullmatch(settings.app.target)), _no_target(settings.app.target)
        yield "$.app.threads", settings.app.threads >= 1, "must be at least 1"
        root = settings.app.root_path
        yield "$.app.root_path", not root or not mount_mistakes("", root), "starts with `/` and ends without"


def _no_target(target: str) -> str:
    factory, call, _ = target.partition("(")
    if call and _TARGET.fullmatch(factory):
        named = f"`{factory}`, and --factory (`factory = true`)"
        return f"{target!r} is no target; a factory is named without a call: {named}"
    return f"{target!r} is no target; write it like `package.module:app`"


def _hook_mistakes(hooks: Hooks) -> list[Mistake]:
    found = []
    if hooks.deadline <= 0:
        found.append(Mistake("$.hooks.deadline", "must be above 0: every wait ends"))
    for name in ("before_boot", "after_fork", "worker_ready", "worker_exit", "cutover_committed"):
        command = getattr(hooks, name)
        try:
            empty = bool(command) and not shlex.split(command)
        except ValueError as error:
            found.append(Mistake(f"$.hooks.{name}", f"{command!r} cannot be split into words: {error}"))
        else:
            found += [Mistake(f"$.hooks.{name}", "names no program")] if empty else []
    return found


def _reload_mistakes(path: str, written: str) -> list[Mistake]:
    try:
        read_reload(written)
    except ValueError as error:
        return [Mistake(path, str(error))]
    return []


def _bind_mistakes(path: str, address: str, repeated: bool) -> list[Mistake]:
    match = _BIND.fullmatch(address)
    if not match:
        return [Mistake(path, f"{address!r} is no address: host:port, [v6]:port, unix:/path, fd://3 or fd://name")]
    if match["port"] and int(match["port"]) > 65535:
        return [Mistake(path, f"port {match['port']} is above 65535")]
    return [Mistake(path, f"{address} stands here twice")] if repeated and match["port"] != "0" else []


def _pipeline_mistakes(path: str, pipeline: Pipeline, earlier: tuple[Pipeline, ...], all: Settings) -> list[Mistake]:
    found = matches.mistakes(f"{path}.match", pipeline.match)
    if ":" in pipeline.name or pipeline.name == "app":
        found.append(Mistake(f"{path}.name", "`app` and names with `:` are those of the default pipelines"))
    found += handlers.mistakes(f"{path}.handlers", pipeline.handlers)
    label = pipeline.match.label
    given = {select.label for channel in all.channels for select in channel.select}
    if label and label not in given:
        unknown = f"no rule of a channel gives the label {label!r}{nearest(label, given)}"
        found.append(Mistake(f"{path}.match.label", unknown))
    if pipeline.service == "app" and all.app is None:
        found.append(Mistake(f"{path}.service", "there is no application: `[app] target` is missing"))
    elif pipeline.service not in ("", "app") and not _NAMED.fullmatch(pipeline.service):
        found.append(Mistake(f"{path}.service", f"{pipeline.service!r} is neither `app` nor `plugin:service`"))
    return [*found, *matches.collisions(path, pipeline, earlier)]


def warnings(settings: Settings) -> Iterator[Mistake]:
    """Say what is legal and probably not meant."""
    if settings.deadlines.orphan == 0:
        yield Mistake("$.deadlines.orphan", "workers without a supervisor serve for ever and only a signal ends them")
    if settings.plugins.entries and not settings.plugins.dir:
        yield Mistake("$.plugins", "says things of plugins, but `plugins.dir` is not set: no plugin is loaded")
    if settings.landlock and settings.access_log.file.startswith("/"):
        inside = any(settings.access_log.file.startswith(f"{folder}/") for folder in settings.writable)
        if not inside:
            yield Mistake(
                "$.access_log.file", "is in no folder of `writable`: workers may not write it with `landlock`"
            )
    if settings.writable and not settings.landlock:
        yield Mistake("$.writable", "says nothing without `landlock = true`: workers write wherever their user may")
    if settings.drain.http > settings.deadlines.graceful:
        yield Mistake("$.drain.http", "is longer than `deadlines.graceful`, which ends a stopping worker first")
