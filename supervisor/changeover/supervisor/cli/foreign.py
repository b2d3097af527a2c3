"""Flags that people's fingers know from gunicorn and uvicorn, and what to type here instead.

The one place for such hints. A flag that works here under its own name is not listed.
"""

import click

FOREIGN: dict[str, str] = {
    "--access-logformat": "it is called --access-log-format here: common, combined or json",
    "--asgi-lifespan": "an application's lifespan is run when it has one",
    "--asgi-loop": "workers always run uvloop",
    "--capture-output": "workers' stdout and stderr are inherited: redirect the command's own",
    "--casefold-http-method": "methods are case-sensitive, as HTTP says",
    "--cert-reqs": "it is called [tls] client in the configuration",
    "--ciphers": "it is called [tls] ciphers in the configuration",
    "--daemon": "run it under systemd, or another supervisor of services; it stays in the foreground",
    "--date-header": "Date is always sent",
    "--do-handshake-on-connect": "a handshake hinders nobody",
    "--dogstatsd-tags": "`changeover status --json` has the counts",
    "--enable-stdio-inheritance": "workers always inherit stdout and stderr",
    "--error-log": "it is called --log-file here",
    "--error-logfile": "it is called --log-file here",
    "--forwarder-headers": "name them in the configuration: forwarded_headers",
    "--h11-max-incomplete-event-size": "heads are limited in the configuration: [limits] head",
    "--header": "add headers in an outbound handler",
    "--header-map": "header names are never folded together",
    "--http": "HTTP/1.1 is always read by httptools",
    "--http-protocols": "HTTP/1.1 is always spoken, and HTTP/2 where its library is installed; see [tls] alpn",
    "--http2-max-concurrent-streams": "requests at a time are limited in the configuration: [limits] streams",
    "--initgroups": "--user always comes with all groups of the user",
    "--keyfile-password": "store the key without a password, readable by its owner alone",
    "--lifespan": "an application's lifespan is run when it has one",
    "--limit-max-requests-jitter": "it is called --max-requests-jitter here",
    "--limit-request-field_size": "heads are limited in the configuration: [limits] head",
    "--limit-request-fields": "fields are limited in the configuration: [limits] fields",
    "--limit-request-line": "targets are limited in the configuration: [limits] url",
    "--log-config": "the log has --log-level, --log-format and --log-file",
    "--log-config-json": "the log has --log-level, --log-format and --log-file",
    "--log-syslog": "write to stderr and let systemd or a logger take it on",
    "--log-syslog-facility": "write to stderr and let systemd or a logger take it on",
    "--log-syslog-prefix": "write to stderr and let systemd or a logger take it on",
    "--log-syslog-to": "write to stderr and let systemd or a logger take it on",
    "--logger-class": "the log has --log-level, --log-format and --log-file",
    "--loop": "workers always run uvloop",
    "--no-date-header": "Date is always sent",
    "--no-sendfile": "files are read by threads, sendfile is not used",
    "--no-server-header": "no Server header is sent",
    "--no-use-colors": "set NO_COLOR to have none",
    "--paste": "name the application: `changeover run module:app`",
    "--permit-obsolete-folding": "folded headers are refused, as HTTP says",
    "--permit-unconventional-http-method": "any method that is a token is passed on",
    "--permit-unconventional-http-version": "HTTP/1.0 and HTTP/1.1 are served",
    "--protocol": "HTTP is spoken, and not the protocol of uWSGI",
    "--proxy-protocol": "say who is believed: --proxy-allow-from NETWORK",
    "--pythonpath": "it is called --app-dir here",
    "--quic-bind": "HTTP/3 is not served",
    "--reload-delay": "it waits until nobody writes any more; there is nothing to set",
    "--reload-dir": "everything that is served is watched; [app] dir and include say what that is",
    "--reload-engine": "the kernel tells of changes; [watch] rescan says how often it looks all the same",
    "--reload-exclude": "what is served is watched and nothing else; [app] include says what that is",
    "--reload-extra-file": "name it in [app] include, or as a plugin's resource",
    "--reload-include": "it is called [app] include in the configuration",
    "--reuse-port": "the supervisor binds once and its workers share the sockets",
    "--server-header": "no Server header is sent",
    "--spew": "use a debugger or py-spy on a worker's pid (`changeover status` lists them)",
    "--ssl-cert-reqs": "it is called [tls] client in the configuration",
    "--ssl-ciphers": "it is called [tls] ciphers in the configuration",
    "--ssl-keyfile-password": "store the key without a password, readable by its owner alone",
    "--ssl-version": 'TLS 1.2 and 1.3 are spoken; [tls] minimum = "1.3" leaves out the former',
    "--statsd-host": "`changeover status --json` has the counts",
    "--statsd-prefix": "`changeover status --json` has the counts",
    "--strip-header-spaces": "spaces around header names are refused, as HTTP says",
    "--suppress-ragged-eofs": "a client that ends TLS badly is gone",
    "--timeout-graceful-shutdown": "it is called --graceful-timeout here",
    "--timeout-keep-alive": "it is called --keep-alive here",
    "--timeout-worker-healthcheck": "a worker's heartbeat is in the configuration",
    "--use-colors": "colours are used on a terminal; set NO_COLOR to have none",
    "--verify-mode": "it is called [tls] client in the configuration",
    "--version": "`changeover --version` says it",
    "--websocket-max-message-size": "it is called --ws-max-size here",
    "--websocket-ping-interval": "it is called --ws-ping-interval here",
    "--worker-connections": "it is called --max-connections here",
    "--worker-tmp-dir": "heartbeats need no files",
    "--ws": "WebSockets are always spoken, and need no library",
    "-D": "run it under systemd, or another supervisor of services; it stays in the foreground",
    "-R": "workers always inherit stdout and stderr",
    "-v": "`changeover --version` says it",
}
"""Flag -> what to do instead."""

PRELOAD = "--preload"
"""Alone it means true, as gunicorn's does: what is typed behind it is the application."""


class Hinting(click.Command):
    """A command that knows what people meant by flags of other servers."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and add the hint to what click says of an unknown flag."""
        try:
            return super().parse_args(ctx, [f"{PRELOAD}=true" if each == PRELOAD else each for each in args])
        except click.NoSuchOption as error:
            if (hint := FOREIGN.get(error.option_name)) is None:
                raise
            raise click.UsageError(f"{error.option_name} is not an option here: {hint}", ctx) from error
