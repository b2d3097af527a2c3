"""Words for what the shell tells."""

from changeover.supervisor.telemetry import shell
from changeover.supervisor.telemetry.worded import DEBUG, ERROR, INFO, WARNING, Worded, word


@word.register
def _(record: shell.Listening) -> Worded:
    return Worded(INFO, f"listening on {', '.join(record.addresses)}")


@word.register
def _(record: shell.AddressesChanged) -> Worded:
    gone = f"; until nobody comes there for {record.linger:g} s, also on {', '.join(record.removed)}"
    return Worded(INFO, f"listening on {', '.join(record.addresses)}{gone if record.removed else ''}")


@word.register
def _(record: shell.AddressClosed) -> Worded:
    if record.waiting:
        return Worded(WARNING, f"{record.address} is closed; connections still waited there, and are reset")
    return Worded(INFO, f"{record.address} is closed")


@word.register
def _(record: shell.AddressesAmiss) -> Worded:
    return Worded(
        ERROR,
        f"listening on {', '.join(record.addresses)}, and what serves wants {', '.join(record.wanted)}: "
        "`changeover reload` takes the addresses of the configuration",
    )


@word.register
def _(record: shell.CellStored) -> Worded:
    return Worded(DEBUG, f"the commit cell says epoch {record.epoch}")


@word.register
def _(record: shell.SignalTaken) -> Worded:
    return Worded(INFO, f"{record.signal}: {record.meaning}")


@word.register
def _(record: shell.LogReopened) -> Worded:
    return Worded(INFO, "the log file is reopened")


@word.register
def _(record: shell.ControlUnserved) -> Worded:
    return Worded(
        ERROR,
        f"the control socket {record.path} is not served: {record.reason}; signals work (HUP reloads, TERM stops)",
    )


@word.register
def _(record: shell.ArrivalsUnprotected) -> Worded:
    return Worded(WARNING, f"{record.address}: connections that arrive at the very end are reset ({record.reason})")


@word.register
def _(record: shell.AddressHeld) -> Worded:
    return Worded(WARNING, f"{record.address} stays {record.holders}; until then nothing else can listen there")


@word.register
def _(record: shell.KillModeUnfit) -> Worded:
    at_once = "" if record.mode == "mixed" else ", and a stop tells all processes at once, which resets connections"
    return Worded(
        WARNING,
        f"{record.unit} has KillMode={record.mode}: workers are killed when their supervisor dies{at_once}; "
        "set KillMode=process",
    )


@word.register
def _(record: shell.StateShared) -> Worded:
    fact = f"{record.folder} goes on with the history of {record.before}, because both are called {record.name}"
    return Worded(WARNING, f"{fact}; where these are two services, give each a `name`")


@word.register
def _(record: shell.Finished) -> Worded:
    if record.status == 0:
        return Worded(INFO, f"finished: {record.reason}")
    return Worded(ERROR, f"finished with status {record.status}: {record.reason}")


@word.register
def _(record: shell.WatchingBegan) -> Worded:
    """What is taken by itself, said when it begins and when it changes."""
    if not record.policies:
        return Worded(INFO, "changed files are taken only when somebody asks for it")
    return Worded(INFO, f"changed files are taken without being asked for: {', '.join(record.policies)}")


@word.register
def _(record: shell.WatchingBlind) -> Worded:
    """Why changes are noticed late, and what to raise."""
    return Worded(
        ERROR,
        f"the kernel tells of no changes: {record.reason}; files are looked at every {record.seconds:g} s "
        "(its limits: sysctl fs.inotify.max_user_watches and fs.inotify.max_user_instances)",
    )
