"""Lets workers of another user into what the supervisor owns: by their group, and no further than they need."""

import os
from pathlib import Path

from changeover.supervisor.config.accounts import Account, account_of
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.process.errors import ProcessError

RUNTIME_MODE = 0o1770
"""Workers make sockets of their own beside the supervisor's, and cannot remove or replace those."""
SOCKET_MODE = 0o660
STATE_MODE = 0o750


class NotPermitted(ProcessError):
    """Workers cannot run as somebody else, because we are not root."""

    def __init__(self, account: Account) -> None:
        super().__init__(
            f"workers cannot run as {account.name} (uid {account.uid}, gid {account.gid}): only root can change that, "
            f"and we are uid {os.geteuid()}, gid {os.getegid()}; start it as root or as {account.name}, or leave out "
            "--user and --group"
        )


class Unreachable(ProcessError):
    """Workers of another user cannot get into a directory.

    Attributes:
        directory: Which one.
    """

    def __init__(self, directory: Path, closed: Path, account: Account) -> None:
        self.directory = directory
        where = f"{closed} is closed to" if closed != directory else "it is closed to"
        super().__init__(
            f"{directory} cannot be used: {where} workers, which run as {account.name}; choose another with "
            "--runtime-dir (like /run/changeover/NAME) or --state-dir (like /var/lib/changeover/NAME)"
        )


def other_account(settings: Settings) -> Account | None:
    """Whom workers are to run as; None when that is ourselves.

    Raises:
        NotPermitted: We cannot become that.
    """
    account = account_of(settings)
    if account is None or account.is_ours:
        return None
    if os.geteuid() != 0:
        raise NotPermitted(account)
    return account


def share(path: Path, account: Account, mode: int) -> None:
    """Give a file or folder to the account's group."""
    os.chown(path, -1, account.gid)
    path.chmod(mode)


def share_folder(directory: Path, account: Account, mode: int) -> None:
    """Give a folder to the account's group.

    Raises:
        Unreachable: One above it lets nobody through who is not its owner.
    """
    share(directory, account, mode)
    for folder in (directory, *directory.parents):
        if not _may_enter(folder, account):
            raise Unreachable(directory, folder, account)


def share_state(state: Path, store: Path, account: Account) -> None:
    """Let workers of another user read artifacts.

    Args:
        state: The state directory.
        store: The artifact store below it; made when it is not there.
        account: Whom workers run as.

    Raises:
        Unreachable: Workers cannot get there.
    """
    store.mkdir(exist_ok=True)
    for folder in (state, store):
        share_folder(folder, account, STATE_MODE)


def _may_enter(folder: Path, account: Account) -> bool:
    found = folder.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & 0o100)
    return bool(found.st_mode & (0o010 if found.st_gid in account.groups else 0o001))
