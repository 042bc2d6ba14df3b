# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Who uses an export right now, by what the kernel and mountd tell. Clients that only may use it count: nobody is cut off by a guess."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._nfs.clients import Names, may_mean

_ADDRESS = re.compile(r"^address: *\"?(?P<address>.*?)\"?$", re.MULTILINE)
_NAME = re.compile(r"^name: *\"?(?P<name>.*?)\"?$", re.MULTILINE)
_STATUS = re.compile(r"^status: *(?P<status>\S+)", re.MULTILINE)
_OPEN = re.compile(
    r"superblock: *\"(?P<major>[0-9a-f]+):(?P<minor>[0-9a-f]+):(?P<inode>\d+)\"(?:, *filename: *\"(?P<file>.*?)\")?"
)


@dataclasses.dataclass(frozen=True)
class Session:
    """A client of NFSv4, alive. ``opened`` are the devices (major, minor) on which it has files open, with their names."""

    address: str
    name: str
    opened: tuple[tuple[tuple[int, int], str], ...]


@dataclasses.dataclass(frozen=True)
class Holder:
    """A client that uses an export, or may use it. ``certain`` tells which; ``evidence`` says by what."""

    address: str
    client: str
    certain: bool
    evidence: str


@dataclasses.dataclass(frozen=True)
class Usage:
    """All that is known. ``cached`` are the (path, client) that the kernel has asked mountd for; ``mounted`` is rmtab (NFSv3)."""

    sessions: tuple[Session, ...] = ()
    cached: frozenset[tuple[str, str]] = frozenset()
    mounted: tuple[tuple[str, str], ...] = ()


def parse_session(info: str, states: str) -> Session | None:
    """One folder of /proc/fs/nfsd/clients; None for a client that is not alive."""
    address, status = _ADDRESS.search(info), _STATUS.search(info)
    if address is None or (status is not None and status["status"] not in ("confirmed", "courtesy")):
        return None
    name = _NAME.search(info)
    opened = dict.fromkeys(
        ((int(found["major"], 16), int(found["minor"], 16)), found["file"] or "") for found in _OPEN.finditer(states)
    )
    return Session(_without_port(address["address"]), name["name"] if name else "", tuple(opened))


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.rpartition(":")[0] if text.count(":") == 1 else text


def parse_cache(text: str) -> frozenset[tuple[str, str]]:
    """The (path, client) of /proc/net/rpc/nfsd.export/content that are in force."""
    found = set()
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 2 or line.startswith("#"):
            continue
        path = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[0])
        found.add((path, fields[1].partition("(")[0]))
    return frozenset(found)


def parse_rmtab(text: str) -> tuple[tuple[str, str], ...]:
    """The (address, path) of rmtab: what mountd was asked for by NFSv3 clients that did not say goodbye."""
    found = []
    for line in text.splitlines():
        matched = re.fullmatch(r"(?P<host>.+?):(?P<path>/.*):0x[0-9a-f]+", line.strip())
        if matched:
            found.append((matched["host"].strip("[]"), matched["path"]))
    return tuple(found)


def holders(
    path: str, device: tuple[int, int] | None, specs: t.Sequence[str], usage: Usage, names: Names
) -> tuple[Holder, ...]:
    """Those who use ``path`` (on ``device``) as one of the clients ``specs``.

    A session tells no path. Where the kernel knows who came for which path, that decides; where it has forgotten all
    (it does at every exportfs -r), each living session that an export lets in may use it.
    """
    found: list[Holder] = []
    known = {cached_path for cached_path, unused in usage.cached}
    for session in usage.sessions:
        spec = next((one for one in specs if may_mean(one, session.address, names)), None)
        if spec is None:
            continue
        files = [name for opened, name in session.opened if opened == device]
        named = ", ".join(sorted({name for name in files if name})[:3])
        if files:
            count = "a file" if len(files) == 1 else f"{len(files)} files"
            evidence = f"has {count} open on that file system" + (f" ({named})" if named else "")
            found.append(Holder(session.address, spec, True, evidence))
        elif path in known:
            found.append(Holder(session.address, spec, True, "has a session, and the kernel was asked for this export"))
        elif not known:
            found.append(Holder(session.address, spec, False, "has a session, and may have mounted this export"))
    for address, mounted in usage.mounted:
        if mounted == path and not any(holder.address == address for holder in found):
            spec = next((one for one in specs if may_mean(one, address, names)), None)
            if spec is not None:
                found.append(Holder(address, spec, False, "is in rmtab (NFSv3)"))
    return tuple(found)


def read_usage(root: str = "/", state: str = "/var/lib/nfs") -> Usage:
    """What this host's kernel and mountd tell."""
    sessions = []
    for folder in sorted(glob.glob(os.path.join(glob.escape(root), "proc/fs/nfsd/clients/*"))):
        session = parse_session(_text(os.path.join(folder, "info")), _text(os.path.join(folder, "states")))
        if session is not None:
            sessions.append(session)
    cached = parse_cache(_text(os.path.join(root, "proc/net/rpc/nfsd.export/content")))
    return Usage(tuple(sessions), cached, parse_rmtab(_text(os.path.join(root, state.lstrip("/"), "rmtab"))))


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except OSError:
        return ""
