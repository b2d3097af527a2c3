"""Whom workers run as: `user` and `group`, looked up in the system's databases."""

import grp
import os
import pwd

import msgspec

from changeover.supervisor.config.settings import Settings
from changeover.workers.protocol.document import Mistake


class Account(msgspec.Struct, frozen=True):
    """A user and its groups.

    Attributes:
        uid: The user.
        gid: Its group.
        groups: All of its groups.
        name: The user's name, or its number where it has none.
        home: Its home, empty where it has none.
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether this process runs as it already."""
        return (self.uid, self.gid) == (os.geteuid(), os.getegid())

    def environment(self) -> dict[str, str]:
        """What says who and where one is; nothing for a user without a home."""
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name} if self.home else {}


class UnknownAccount(Exception):
    """The system does not know a user or a group.

    Attributes:
        mistake: Which setting is wrong, and how.
    """

    def __init__(self, path: str, message: str) -> None:
        self.mistake = Mistake(path, message)
        super().__init__(message)


def account_of(settings: Settings) -> Account | None:
    """Whom workers are to run as; None where nothing is said: as their supervisor does. Asks the system.

    Raises:
        UnknownAccount: It does not know the user or the group.
    """
    if not settings.user and not settings.group:
        return None
    entry = _user(settings.user) if settings.user else None
    uid = entry.pw_uid if entry else int(settings.user) if settings.user else os.geteuid()
    if settings.group:
        gid = _group(settings.group)
    elif entry is not None:
        gid = entry.pw_gid
    else:
        raise UnknownAccount("$.group", f"missing: user {uid} has no entry that says which group it belongs to")
    groups = tuple(sorted({gid, *os.getgrouplist(entry.pw_name, gid)})) if entry else (gid,)
    return Account(uid, gid, groups, entry.pw_name if entry else str(uid), entry.pw_dir if entry else "")


def mistakes(settings: Settings) -> list[Mistake]:
    """Say which of user and group the system does not know."""
    try:
        account_of(settings)
    except UnknownAccount as error:
        return [error.mistake]
    return []


def _user(name: str) -> pwd.struct_passwd | None:
    """Its entry; None for a number that has none."""
    try:
        return pwd.getpwuid(int(name)) if _is_number(name) else pwd.getpwnam(name)
    except (KeyError, OverflowError) as error:
        if _is_number(name) and int(name) < 2**32 - 1:
            return None
        raise UnknownAccount("$.user", f"this system has no user {name!r}") from error


def _group(name: str) -> int:
    try:
        return int(name) if _is_number(name) and int(name) < 2**32 - 1 else grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise UnknownAccount("$.group", f"this system has no group {name!r}") from error


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()
