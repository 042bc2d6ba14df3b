# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The contract that shared storage has to keep for guests to move over it, and what a breach of it means.

Each host proves its part as QEMU's user, and its part of seeing what the others did. Facts in, breaches out.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._nfs.asuser import User

#: What becomes of root: is root, is QEMU's user, is nobody, or may not write at all.
ROOT_IS_ROOT = "root"
ROOT_IS_QEMU = "qemu"
ROOT_IS_NOBODY = "nobody"
ROOT_IS_REFUSED = "refused"

_DIRECTORY_CACHE = 60.0
_SLACK = 15.0
_LOCAL_LOCKS = ("nolock", "local_lock=all", "local_lock=posix")


@dataclasses.dataclass(frozen=True)
class Breach:
    """``remedy`` says what a person can do."""

    code: str
    message: str
    remedy: str
    evidence: dict[str, t.Any]


def cache_seconds(options: t.Sequence[str]) -> float:
    """How long a mount with ``options`` may show what is no longer so."""
    longest = _DIRECTORY_CACHE
    for option in options:
        name, *rest = option.split("=", 1)
        value = rest[0] if rest else ""
        if name in ("acdirmax", "actimeo") and value.isdigit():
            longest = float(value)
        elif name == "noac":
            longest = 0.0
    return longest + _SLACK


def mount_name(report: t.Mapping[str, t.Any]) -> str:
    """What a host has mounted, for people."""
    mount = report.get("mount") or {}
    return f"{mount.get('source', '?')} ({mount.get('type', '?')})"


def root_outcome(answer: t.Mapping[str, t.Any], user: User) -> str:
    """What a try of root to make a file says."""
    if "error" in answer:
        return ROOT_IS_REFUSED
    if answer["uid"] == 0:
        return ROOT_IS_ROOT
    return ROOT_IS_QEMU if answer["uid"] == user.uid else ROOT_IS_NOBODY


def cannot_create(
    host: str, path: str, user: User, answer: t.Mapping[str, t.Any], report: t.Mapping[str, t.Any]
) -> Breach:
    """QEMU's user may not make a file."""
    folder = report.get("folder") or {}
    if "error" in folder:
        what, remedy = f"the folder cannot be looked at ({folder['error']})", "Make it, or mount it."
    else:
        what = f"the folder belongs to {folder.get('uid')}:{folder.get('gid')} with mode {folder.get('mode')}"
        remedy = (
            f"On the server, give the folder to QEMU's user (chown {user.uid}:{user.gid}), and make sure that the export is rw, and maps "
            f"all to that user or nobody to another one (all_squash with anonuid={user.uid} and anongid={user.gid} does)."
        )
    return Breach(
        "QEMU_CANNOT_CREATE",
        f"QEMU's user {user} on {host} cannot make a file in {path} ({mount_name(report)}): {answer['error']}; {what}.",
        remedy,
        {
            "command": f"create a file in {path} as {user.uid}:{user.gid}",
            **answer,
            "folder": dict(folder),
            "mount": report.get("mount"),
        },
    )


def wrong_owner(host: str, path: str, user: User, made: t.Mapping[str, t.Any]) -> Breach | None:
    """A file of QEMU's user that belongs to somebody else: the server maps it to another one."""
    if made["uid"] == user.uid:
        return None
    return Breach(
        "OWNER_CHANGED",
        f"A file that QEMU's user {user} made in {path} on {host} belongs to {made['uid']}:{made['gid']}; QEMU on another host may not "
        "open it.",
        f"On the server, export with anonuid={user.uid} and anongid={user.gid} where all_squash is set; with NFSv4 and names, set the same "
        "domain in idmapd.conf everywhere.",
        {"command": f"create a file in {path} as {user.uid}:{user.gid}", **made},
    )


def ids_differ(host: str, mine: t.Mapping[str, t.Any], other: t.Mapping[str, t.Any]) -> Breach | None:
    """QEMU's user has to have the same numbers everywhere."""
    own, theirs = mine["user"], other["user"]
    if (own["uid"], own["gid"]) == (theirs["uid"], theirs["gid"]):
        return None
    return Breach(
        "QEMU_USER_DIFFERS",
        f"QEMU runs as {own['uid']}:{own['gid']} on {host} and as {theirs['uid']}:{theirs['gid']} on {other['host']}; on shared storage "
        "the numbers decide.",
        "Give the user the same numbers on all hosts, with no guest running (or name the same user and group in qemu.conf).",
        {"here": dict(own), "there": dict(theirs)},
    )


def unseen(
    host: str, path: str, mine: t.Mapping[str, t.Any], other: t.Mapping[str, t.Any], answer: t.Mapping[str, t.Any]
) -> Breach:
    """A file of another host is not there, or is another one."""
    return Breach(
        "NOT_SHARED",
        f"{host} does not see in {path} the file that {other['host']} made there: {answer.get('error') or 'another file has its name'}. "
        f"{host} has {mount_name(mine)} there, {other['host']} has {mount_name(other)}.",
        "Mount the same export of the same server at this path on every host.",
        {"command": f"open {other['file']['name']}", **answer, "here": mine.get("mount"), "there": other.get("mount")},
    )


def unlocked(
    host: str, path: str, mine: t.Mapping[str, t.Any], other: t.Mapping[str, t.Any], answer: t.Mapping[str, t.Any]
) -> Breach:
    """A lock of another host is not seen: two hosts could run one guest."""
    options = (mine.get("mount") or {}).get("options") or []
    local = [option for option in options if option in _LOCAL_LOCKS]
    said = answer.get("error") or "it was given although it is taken"
    return Breach(
        "LOCKS_NOT_SHARED",
        f"{host} was not refused the lock that {other['host']} holds on a file in {path}: {said}. Nothing would keep two hosts from "
        "running one guest.",
        f"Mount without {', '.join(local)}."
        if local
        else "Mount by NFSv4, or run the lock service of NFSv3 (rpc.statd) on both sides.",
        {"command": f"F_OFD_SETLK on {other['file']['name']}", **answer, "here": mine.get("mount")},
    )


def unwritable(host: str, path: str, user: User, other: t.Mapping[str, t.Any], answer: t.Mapping[str, t.Any]) -> Breach:
    """The file of another host's QEMU cannot be opened by this host's."""
    return Breach(
        "PEER_FILE_REFUSED",
        f"QEMU's user {user} on {host} cannot write to the file that QEMU on {other['host']} made in {path}: {answer['error']}.",
        "Give QEMU's user the same numbers on all hosts, and have the server treat all hosts alike (the same options for each client).",
        {"command": f"open {other['file']['name']} for writing as {user.uid}:{user.gid}", **answer},
    )


def unrenamed(
    host: str, path: str, other: t.Mapping[str, t.Any], seconds: float, mine: t.Mapping[str, t.Any]
) -> Breach:
    """A new name is not seen in time."""
    return Breach(
        "RENAME_NOT_SEEN",
        f"{host} still does not see that {other['host']} renamed a file in {path}, after {seconds:g} s.",
        "Mount with shorter attribute caches (acdirmax=, or actimeo=), and without lookupcache=all where the server's clock jumps.",
        {"waited": seconds, "here": mine.get("mount")},
    )


def root_warning(host: str, path: str, outcome: str, user: User) -> str | None:
    """What root may do is a matter of taste; two of the outcomes have a price."""
    if outcome == ROOT_IS_ROOT:
        return (
            f"root on {host} is root in {path}: anyone who is root on a client owns every image. Squash root; all_squash with "
            f"anonuid={user.uid} and anongid={user.gid} keeps libvirt working."
        )
    if outcome == ROOT_IS_NOBODY:
        return (
            f"What root on {host} makes in {path} belongs to nobody, and QEMU cannot write to it; make images there as {user}, or export "
            f"with all_squash, anonuid={user.uid} and anongid={user.gid}."
        )
    return None
