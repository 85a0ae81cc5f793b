"""Which operating-system account runs Postgres, and how it reaches its folders when we are root.

Postgres refuses to run as root. As root we lend it an existing unprivileged account and open to that account, and to
nobody else, the way to its own folders: an access-control entry with the search right alone on a closed parent folder
(`/root`, or one made by `mktemp -d`), instead of opening that folder to every account of the machine.
"""

from __future__ import annotations

import os
import pwd
import stat
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from twin_core.errors import InvalidInput

PREFERRED = ("postgres", "nobody")
"""Accounts tried in this order. `postgres` owns nothing but databases; `nobody` is there on every Unix."""

_ACL = "system.posix_acl_access"
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NO_ID = 0xFFFFFFFF
_SEARCH = 1


@dataclass(frozen=True, slots=True)
class Account:
    """The account that runs Postgres. `switch` says that it is not ours, so commands must change to it."""

    name: str
    uid: int
    gid: int
    switch: bool


def account_for(data: Path) -> Account:
    """The account that runs Postgres on this data folder: its owner once it exists, so that the choice is lasting.

    Raises InvalidInput when the data belongs to another account, or when as root there is no account to lend.
    """
    mine = os.geteuid()
    owner = data.stat().st_uid if data.exists() else None
    if mine != 0:
        if owner not in (None, mine):
            raise InvalidInput(
                f"The database in {data} belongs to another account (uid {owner}). Run as that account, or set "
                f"TWIN_HOME to a folder of your own."
            )
        return _entry(mine, switch=False)
    if owner not in (None, 0):
        return _entry(owner, switch=True)
    for name in PREFERRED:
        with suppress(KeyError):
            return _entry(pwd.getpwnam(name).pw_uid, switch=True)
    raise InvalidInput(
        "Postgres cannot run as root, and this machine has neither an account `postgres` nor `nobody` to run it as. "
        "Run as an ordinary account, or set TWIN_DATABASE_URL to a Postgres server."
    )


def _entry(uid: int, *, switch: bool) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError as error:
        raise InvalidInput(
            f"The account with uid {uid} has no name in /etc/passwd, and Postgres needs one. Add it there, or set "
            f"TWIN_DATABASE_URL to a Postgres server."
        ) from error
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, switch)


def open_the_way(folder: Path, account: Account) -> None:
    """Let the account pass through every closed parent of the folder. Raises InvalidInput when that cannot be done."""
    if not account.switch:
        return
    for parent in folder.parents:
        if not _may_pass(parent, account):
            try:
                os.setxattr(parent, _ACL, _with_search(_entries(parent), account.uid))
            except (OSError, AttributeError) as error:
                raise InvalidInput(
                    f"Postgres runs as the account `{account.name}` here, since it cannot run as root, and that "
                    f"account cannot enter {parent}. Allow it (chmod o+x {parent}), or choose other folders: "
                    f"TWIN_HOME for the data, a virtual environment elsewhere for the programs."
                ) from error


Entries = list[tuple[int, int, int]]
"""An access-control list as (tag, rights, id), in the order the kernel wants: by tag, then by id."""


def _may_pass(folder: Path, account: Account) -> bool:
    found = folder.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    entries = _entries(folder)
    mask = next((rights for tag, rights, _ in entries if tag == _MASK), 7)
    for tag, rights, who in entries:
        if tag == _USER and who == account.uid:
            return bool(rights & mask & _SEARCH)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _entries(folder: Path) -> Entries:
    try:
        packed = os.getxattr(folder, _ACL)
    except (OSError, AttributeError):
        mode = folder.stat().st_mode
        return [
            (_USER_OBJ, mode >> 6 & 7, _NO_ID),
            (_GROUP_OBJ, mode >> 3 & 7, _NO_ID),
            (_OTHER, mode & 7, _NO_ID),
        ]
    return [(tag, rights, who) for tag, rights, who in struct.iter_unpack("<HHI", packed[4:])]


def _with_search(entries: Entries, uid: int) -> bytes:
    """The list with the search right for one more account, in the kernel's form (version 2)."""
    kept = [entry for entry in entries if entry[0] != _MASK and entry[::2] != (_USER, uid)]
    kept.append((_USER, _SEARCH, uid))
    mask = 0
    for tag, rights, _ in kept:
        if tag in (_USER, _GROUP_OBJ, _GROUP):
            mask |= rights
    kept.append((_MASK, mask, _NO_ID))
    kept.sort(key=lambda entry: (entry[0], entry[2]))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in kept)
