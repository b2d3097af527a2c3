"""The flags of `run` and `check`, and how they become settings."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from changeover.supervisor.cli.interface_names import checked, meant
from changeover.supervisor.config.sources import Override, Source
from changeover.workers.protocol.document import Text

F = TypeVar("F", bound=Callable[..., Any])

SETTINGS: dict[str, tuple[tuple[str, ...], str]] = {
    "app": (("app", "target"), "APP"),
    "workers": (("workers",), "--workers"),
    "factory": (("app", "factory"), "--factory"),
    "app_dir": (("app", "dir"), "--app-dir"),
    "threads": (("app", "threads"), "--threads"),
    "root_path": (("app", "root_path"), "--root-path"),
    "preload": (("app", "preload"), "--preload"),
    "plugins": (("plugins", "dir"), "--plugins"),
    "certfile": (("tls", "certificate"), "--certfile"),
    "keyfile": (("tls", "key"), "--keyfile"),
    "ca_certs": (("tls", "client_ca"), "--ca-certs"),
    "access_logfile": (("access_log", "file"), "--access-logfile"),
    "access_log_format": (("access_log", "format"), "--access-log-format"),
    "backlog": (("backlog",), "--backlog"),
    "max_connections": (("max_connections",), "--max-connections"),
    "keep_alive": (("limits", "keep_alive"), "--keep-alive"),
    "ws_max_size": (("limits", "message"), "--ws-max-size"),
    "ws_max_queue": (("limits", "messages"), "--ws-max-queue"),
    "ws_ping_interval": (("limits", "ping_interval"), "--ws-ping-interval"),
    "ws_ping_timeout": (("limits", "ping_timeout"), "--ws-ping-timeout"),
    "ws_per_message_deflate": (("limits", "deflate"), "--ws-per-message-deflate"),
    "graceful_timeout": (("deadlines", "graceful"), "--graceful-timeout"),
    "orphan_timeout": (("deadlines", "orphan"), "--orphan-timeout"),
    "max_requests": (("recycle", "requests"), "--max-requests"),
    "max_requests_jitter": (("recycle", "requests_jitter"), "--max-requests-jitter"),
    "max_worker_lifetime": (("recycle", "lifetime"), "--max-worker-lifetime"),
    "max_worker_lifetime_jitter": (("recycle", "lifetime_jitter"), "--max-worker-lifetime-jitter"),
    "max_worker_memory": (("recycle", "memory"), "--max-worker-memory"),
    "timeout": (("deadlines", "request"), "--timeout"),
    "epoch_header": (("epoch_header",), "--epoch-header"),
    "boot": (("boot",), "--boot"),
    "python": (("python",), "--python"),
    "user": (("user",), "--user"),
    "group": (("group",), "--group"),
    "umask": (("umask",), "--umask"),
    "no_new_privs": (("no_new_privs",), "--no-new-privs"),
    "name": (("name",), "--name"),
    "state_dir": (("state_dir",), "--state-dir"),
    "runtime_dir": (("runtime_dir",), "--runtime-dir"),
}
"""Parameter -> the setting it overrides, and the flag as messages name it."""

THIS_MACHINE = ("127.0.0.0/8", "::1")
EVERYBODY = ("0.0.0.0/0", "::/0")

_OPTIONS = (
    click.argument("app", required=False, metavar="[MODULE:APP]"),
    click.option("-c", "--config", type=click.Path(path_type=Path), metavar="FILE", help="changeover.toml by default."),
    click.option("-b", "--bind", multiple=True, metavar="ADDRESS", help="HOST:PORT, unix:PATH or fd://N; repeatable."),
    click.option("--host", metavar="HOST", help="With --port, instead of --bind."),
    click.option("--port", type=click.IntRange(0, 65535), metavar="PORT", help="With --host, instead of --bind."),
    click.option("--uds", metavar="PATH", help="The same as --bind unix:PATH."),
    click.option("--fd", type=click.IntRange(0), metavar="N", help="The same as --bind fd://N."),
    click.option("-w", "--workers", metavar="N", help="Worker processes, or `auto`. WEB_CONCURRENCY is heeded too."),
    click.option("--plugins", metavar="DIR", help="The folder of plugins."),
    click.option("--factory", is_flag=True, default=None, help="APP is called to make the application."),
    click.option(
        "-k",
        "--interface",
        "--worker-class",
        metavar="NAME",
        callback=checked,
        help="How APP is called: auto, asgi or wsgi.",
    ),
    click.option("--threads", type=int, metavar="N", help="Threads of each worker that run a WSGI application."),
    click.option("--app-dir", metavar="DIR", help="The application's folder, put on the import path."),
    click.option("--root-path", metavar="PATH", help="Path under which a proxy mounts the application."),
    click.option(
        "--preload",
        type=click.Choice(["true", "false", "strict"]),
        help="Import the application before workers are forked; `strict` refuses when that starts threads.",
    ),
    click.option("--no-preload", "preload", flag_value="false", help="Import it in each worker."),
    click.option("--python", metavar="PATH", help="Interpreter, or virtual environment, that workers run on."),
    click.option(
        "--certfile", "--ssl-certfile", metavar="FILE", help="Speak TLS with this certificate, followed by its chain."
    ),
    click.option("--keyfile", "--ssl-keyfile", metavar="FILE", help="Its key, without a password."),
    click.option(
        "--ca-certs", "--ssl-ca-certs", metavar="FILE", help="Require client certificates of these authorities."
    ),
    click.option(
        "--proxy-allow-from", multiple=True, metavar="NETWORK", help="Whose PROXY header is believed; repeatable."
    ),
    click.option(
        "--proxy-headers/--no-proxy-headers",
        default=None,
        help="Believe X-Forwarded-For and -Proto of proxies on this machine, or of --forwarded-allow-ips.",
    ),
    click.option(
        "--forwarded-allow-ips", metavar="NETWORKS", help="Whose forwarded headers are believed, comma-separated; or *."
    ),
    click.option("--access-logfile", metavar="FILE", help="Tell of each request there; - for stdout."),
    click.option("--access-log", "access_logfile", flag_value="-", help="The same as --access-logfile -."),
    click.option("--no-access-log", "access_logfile", flag_value="", help="Tell nobody, on a terminal either."),
    click.option("--access-log-format", type=click.Choice(["common", "combined", "json"]), help="How it is told."),
    click.option("--backlog", type=int, metavar="N", help="Connections that the kernel queues for each address."),
    click.option(
        "--max-connections", "--limit-concurrency", type=int, metavar="N", help="Most connections of one worker."
    ),
    click.option("--keep-alive", metavar="S", help="Close idle connections after so many seconds."),
    click.option("--ws-max-size", metavar="SIZE", help="Longest message of a WebSocket: bytes, `80MB`, `64KiB`."),
    click.option("--ws-max-queue", type=int, metavar="N", help="Messages that a WebSocket reads ahead."),
    click.option("--ws-ping-interval", metavar="S", help="Ping WebSockets silent for so long; 0 = never."),
    click.option("--ws-ping-timeout", metavar="S", help="Close WebSockets that answer no ping; 0 = never."),
    click.option("--ws-per-message-deflate", type=bool, metavar="BOOL", help="Compress messages of WebSockets."),
    click.option("--graceful-timeout", metavar="S", help="Seconds from TERM to being gone."),
    click.option("--orphan-timeout", metavar="S", help="Seconds that workers serve without a supervisor; 0 = always."),
    click.option("-t", "--timeout", metavar="S", help="Replace a worker that owes a response for so long; 0 = never."),
    click.option(
        "--max-requests", "--limit-max-requests", type=int, metavar="N", help="Replace a worker after so many requests."
    ),
    click.option("--max-requests-jitter", type=int, metavar="N", help="Up to so many more, different for each worker."),
    click.option("--max-worker-lifetime", metavar="S", help="Replace a worker that lives so long."),
    click.option("--max-worker-lifetime-jitter", metavar="S", help="Up to so much longer, different for each worker."),
    click.option(
        "--max-worker-memory",
        metavar="SIZE",
        help="Replace a worker that grew so large: bytes, `80MB` (powers of 1000), `80MiB` (powers of 1024).",
    ),
    click.option("--epoch-header", is_flag=True, default=None, help="Responses say which epoch and worker made them."),
    click.option(
        "--boot", type=click.Choice(["auto", "last", "disk"]), help="Serve what is on disk, or what was committed last."
    ),
    click.option("-u", "--user", metavar="USER", help="Run workers as this user, with all its groups."),
    click.option("-g", "--group", metavar="GROUP", help="Run workers with this group."),
    click.option("-m", "--umask", metavar="OCTAL", help="What files made by workers lack, like 027."),
    click.option("--rlimit", multiple=True, metavar="NAME=N", help="Limit each worker: nofile=65536, as=2GiB."),
    click.option(
        "--no-new-privs/--new-privs", default=None, help="Whether workers gain nothing by executing setuid files."
    ),
    click.option("-n", "--name", metavar="NAME", help="The service's name; by default the folder's."),
    click.option("--state-dir", metavar="DIR", help="Folder for journal and artifacts."),
    click.option("--runtime-dir", metavar="DIR", help="Folder for sockets."),
    click.option("--chdir", type=click.Path(exists=True, file_okay=False), metavar="DIR", help="Go there first."),
)


def serving_options(command: F) -> F:
    """Add the argument APP and every flag that is a setting; `source` takes them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def source(
    config: Path | None, chdir: str | None, flags: dict[str, Any], defaults: tuple[Override, ...] = ()
) -> Source:
    """Say what to read settings from; changes the working directory when `--chdir` is given.

    Args:
        config: The file, None for the default one.
        chdir: Where to go first.
        flags: The other parameters of `serving_options`, by name.
        defaults: What holds over the file and the environment where no flag says otherwise.

    Raises:
        UsageError: Flags contradict each other.
    """
    if chdir is not None:
        os.chdir(chdir)
    overrides = [
        Override(key, Text(value) if isinstance(value, str) else value, flag)
        for name, (key, flag) in SETTINGS.items()
        if (value := flags[name]) is not None
    ]
    if flags["ca_certs"]:
        overrides.append(Override(("tls", "client"), "required", "--ca-certs"))
    if flags["proxy_allow_from"]:
        overrides.append(Override(("proxies",), list(flags["proxy_allow_from"]), "--proxy-allow-from"))
    if flags["interface"] is not None:
        overrides += meant(flags["interface"], flags["threads"])
    trusted = believed(flags["proxy_headers"], flags["forwarded_allow_ips"])
    if trusted is not None:
        overrides.append(Override(("forwarded",), trusted, "--forwarded-allow-ips"))
    if flags["rlimit"]:
        overrides.append(Override(("rlimits",), list(flags["rlimit"]), "--rlimit"))
    bind = addresses(flags["bind"], flags["host"], flags["port"], flags["uds"], flags["fd"])
    if bind:
        overrides.append(Override(("bind",), list(bind), "--bind"))
    return Source(config, Path.cwd(), dict(os.environ), (*defaults, *overrides))


def believed(proxy_headers: bool | None, allowed: str | None) -> list[str] | None:
    """Whose forwarded headers are believed; None where no flag says.

    Args:
        proxy_headers: Whether anybody's.
        allowed: Networks, comma-separated, or `*`.

    Raises:
        UsageError: Nobody is to be believed, and somebody.
    """
    if proxy_headers is None and allowed is None:
        return None
    if proxy_headers is False:
        if allowed:
            raise click.UsageError("--no-proxy-headers believes nobody: leave out --forwarded-allow-ips")
        return []
    if allowed is None:
        return list(THIS_MACHINE)
    return list(EVERYBODY) if allowed.strip() == "*" else [each.strip() for each in allowed.split(",") if each.strip()]


def addresses(
    bind: tuple[str, ...], host: str | None, port: int | None, uds: str | None, fd: int | None
) -> tuple[str, ...]:
    """Put all ways to name an address into one list.

    Raises:
        UsageError: `--host` or `--port` is given beside `--bind`.
    """
    if bind and (host is not None or port is not None):
        raise click.UsageError("--bind says host and port already: leave out --host and --port")
    named = list(bind)
    if host is not None or port is not None:
        literal = f"[{host}]" if host and ":" in host else host or "127.0.0.1"
        named.append(f"{literal}:{8000 if port is None else port}")
    if uds is not None:
        named.append(f"unix:{uds}")
    if fd is not None:
        named.append(f"fd://{fd}")
    return tuple(named)
