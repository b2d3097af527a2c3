"""The command `changeover`: one module for each subcommand, imported only when it is called."""

import difflib
import importlib
from typing import NoReturn

import click

PACKAGE = "changeover.supervisor.cli"

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run", "Serve an application, plugins, or both."),
    "dev": ("dev", "Serve while you edit: what you save is taken at once."),
    "check": ("check", "Say what is wrong with a configuration, all of it at once."),
    "reload": ("reload", "Take what changed on disk into all workers, or refuse it."),
    "rollback": ("rollback", "Put earlier committed content back, as a new epoch."),
    "handler": ("handler", "Edit the handlers of a pipeline that serves, without a file."),
    "status": ("status", "Show what is served, by whom, and what needs attention."),
    "pipelines": ("pipelines", "Show what requests pass: routes, handlers, services, and what was counted."),
    "plugin": ("plugin", "List plugins, write, check and sign them, take one out of what serves."),
    "leases": ("leases", "Show who still holds which epoch."),
    "leaks": ("leaks", "Show what was released and is not gone, and what holds it."),
    "history": ("history", "List epochs: who, when, what, and what became of them."),
    "explain": ("explain", "Tell everything that is known of one epoch."),
    "diff": ("diff", "Say what differs between two epochs, or between what serves and what is on disk."),
    "scale": ("scale", "Change the number of workers."),
    "events": ("events", "Print what the server tells, and follow it."),
    "upgrade": ("upgrade", "Replace the supervisor's own program; workers serve on."),
    "stop": ("stop", "Stop a server."),
    "doctor": ("doctor", "Say whether an application is fit for being changed while it serves."),
    "demo": ("demo", "Watch plugins change under load, in half a minute."),
}
"""Name -> module below this package, and its line in `changeover --help`."""


MEANT = {
    "restart": "`changeover stop`, then `changeover run`",
    "serve": "`changeover run`",
    "start": "`changeover run`",
}
"""What people type to other servers -> what to type here."""


class Commands(click.Group):
    """Imports a subcommand when it is called, so that `changeover --help` imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{PACKAGE}.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand, or say which one was probably meant."""
        if args[0] in COMMANDS:
            return super().resolve_command(ctx, args)
        _unknown(ctx, args)


def _unknown(ctx: click.Context, args: list[str]) -> NoReturn:
    name = args[0]
    if ":" in name and not name.startswith("-"):
        ctx.fail(f"no command {name!r}: did you mean `changeover run {' '.join(args)}`?")
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    meant = MEANT.get(name) or (f"`changeover {close[0]}`" if close else "")
    ctx.fail(f"no command {name!r}" + (f": did you mean {meant}?" if meant else ""))


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit status: 0 done; 1 refused or aborted; 2 usage; 3 a worker failed to boot; 4 the app failed to load; "
    "5 no server found; 6 --wait ended first.",
)
@click.version_option(package_name="changeover")
def main() -> None:
    """Serve, and replace what serves while it does."""
