# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Owner, group and mode of a file of this host, asked for by name or number."""

from __future__ import annotations

import dataclasses
import grp
import os
import pwd
import re
import stat
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError

_MODE = re.compile(r"0?o?[0-7]{3,4}")


@dataclasses.dataclass(frozen=True)
class Ownership:
    """Numbers; None is left as it is."""

    owner: t.Optional[int] = None
    group: t.Optional[int] = None
    mode: t.Optional[int] = None

    @property
    def empty(self) -> bool:
        """Whether it asks for nothing."""
        return self.owner is None and self.group is None and self.mode is None

    def shown(self) -> dict[str, t.Any]:
        """For people: only what it says."""
        mode = None if self.mode is None else f"{self.mode:04o}"
        values = {"owner": self.owner, "group": self.group, "mode": mode}
        return {name: value for name, value in values.items() if value is not None}


def from_options(owner: str | None, group: str | None, mode: str | None) -> Ownership:
    """What the options ask for. Raises InputError for a name that this host does not know, and for a mode that is none."""
    if mode is not None and not _MODE.fullmatch(mode):
        raise InputError(
            "mode", f"The mode '{mode}' is not octal; write it as text with its leading zero, such as '0640'."
        )
    return Ownership(
        _number("owner", owner, lambda name: pwd.getpwnam(name).pw_uid),
        _number("group", group, lambda name: grp.getgrnam(name).gr_gid),
        None if mode is None else int(mode.replace("o", ""), 8),
    )


def _number(option: str, value: str | None, find: t.Callable[[str], int]) -> int | None:
    if value is None:
        return None
    if value.isdigit():
        return int(value)
    try:
        return find(value)
    except KeyError as exc:
        raise InputError(option, f"This host knows no {option} '{value}'; create it, or give its number.") from exc


def read(path: str) -> Ownership:
    """What ``path`` has now; of a link what it leads to. Raises FILE_MISSING."""
    try:
        status = os.stat(path)
    except OSError as exc:
        raise KvmError(
            "FILE_MISSING", f"The path {path} on this host cannot be read: {exc.strerror}.", path=path
        ) from exc
    return Ownership(status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))


def amiss(now: Ownership, wanted: Ownership) -> Ownership:
    """What of ``wanted`` is not so yet."""
    return Ownership(
        *(
            None if asked is None or asked == found else asked
            for asked, found in ((wanted.owner, now.owner), (wanted.group, now.group), (wanted.mode, now.mode))
        )
    )


def apply(path: str, wanted: Ownership) -> None:
    """Give ``path`` what ``wanted`` says. Raises OWNERSHIP_REFUSED, as by an NFS server with root_squash."""
    try:
        if wanted.owner is not None or wanted.group is not None:
            os.chown(path, -1 if wanted.owner is None else wanted.owner, -1 if wanted.group is None else wanted.group)
        if wanted.mode is not None:
            os.chmod(path, wanted.mode)
    except OSError as exc:
        raise KvmError(
            "OWNERSHIP_REFUSED",
            f"Owner and mode of {path} cannot be set from this host: {exc.strerror}. On NFS with root_squash this is the server's "
            "business: set them there, or let the owner's own user do it.",
            path=path,
            wanted=wanted.shown(),
        ) from exc
