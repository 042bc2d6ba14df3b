# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The mounts of this host, and whether what lies under a path is seen by other hosts as well."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

#: File systems that libvirt takes for shared by their very nature (virFileIsSharedFSType).
CLUSTER_TYPES = (
    "nfs", "nfs4", "gfs2", "ocfs2", "ceph", "cifs", "smb3", "smbfs", "afs", "gpfs", "acfs", "beegfs", "fuse.glusterfs",
    "fuse.quobyte",
)  # fmt: skip
#: May be shared or not; libvirt takes them for local. So nothing can be said.
_UNCERTAIN_TYPES = ("fuse", "9p", "virtiofs", "lustre", "pvfs2", "glusterfs", "autofs")
_ESCAPE = re.compile(r"\\([0-7]{3})")
_ALIKE = {"nfs4": "nfs", "smb3": "cifs", "smbfs": "cifs"}


@dataclasses.dataclass(frozen=True)
class Mount:
    """One line of /proc/self/mountinfo."""

    point: str
    type: str
    source: str
    device: str
    root: str
    options: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Location:
    """Where a path lies: ``shared`` is True, False or None (cannot be told); ``filesystem`` names it, see Disk."""

    shared: bool | None
    filesystem: str | None


UNKNOWN = Location(None, None)
_NFS_PORT = 2049


def parse_mounts(mountinfo: str) -> tuple[Mount, ...]:
    """The mounts that the text of /proc/self/mountinfo lists, in its order: a later one covers an earlier one."""
    found: list[Mount] = []
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if not separator or len(fields) < 6 or len(rest) < 2:
            continue
        options = tuple(rest[2].split(",")) if len(rest) > 2 else ()
        point, root, source = _plain(fields[4]), _plain(fields[3]), _plain(rest[1])
        found.append(Mount(point, rest[0], source, device=fields[2], root=root, options=options))
    return tuple(found)


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), text)


def below(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or lies in it; both absolute."""
    folder = folder.rstrip("/")
    return path == folder or path.startswith(folder + "/")


def mount_of(path: str, mounts: t.Sequence[Mount]) -> Mount | None:
    """The mount that ``path`` (absolute, without links) lies on."""
    best: Mount | None = None
    for mount in mounts:
        if below(path, mount.point) and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def locate(path: str, mounts: t.Sequence[Mount], declared: t.Sequence[str], host: str) -> Location:
    """Where ``path`` lies.

    ``declared`` are the folders that qemu.conf's shared_filesystems names; ``host`` is this host's name: it makes the
    names of local file systems differ from host to host.
    """
    mount = mount_of(path, mounts)
    if mount is not None and mount.type in CLUSTER_TYPES:
        return Location(True, f"{_ALIKE.get(mount.type, mount.type)}:{_cluster_source(mount)}")
    for folder in declared:
        if below(path, os.path.normpath(folder)):
            return Location(True, f"shared:{os.path.normpath(folder)}")
    if mount is None:
        return UNKNOWN
    name = f"local:{mount.type}:{mount.source}:{mount.device}@{host}"
    if mount.type.split(".")[0] in _UNCERTAIN_TYPES:
        return Location(None, name)
    return Location(False, name)


def _cluster_source(mount: Mount) -> str:
    """What is mounted, named so that hosts agree: an NFS server by the address in use, whatever each host calls it."""
    if mount.type not in ("nfs", "nfs4"):
        return mount.source
    address = next((option[5:] for option in mount.options if option.startswith("addr=")), None)
    export = mount.source.rpartition(":")[2]
    if address is None:
        return mount.source
    return f"[{address}]:{export}" if ":" in address else f"{address}:{export}"


def server_of(mount: Mount) -> tuple[str, int] | None:
    """Address and port of the NFS server of a mount; None where there is none, or it cannot be asked by TCP."""
    values = dict(option.partition("=")[::2] for option in mount.options)
    if mount.type not in ("nfs", "nfs4") or "addr" not in values or values.get("proto", "tcp") not in ("tcp", "tcp6"):
        return None
    port = values.get("port", "0")
    return values["addr"], int(port) if port.isdigit() and int(port) else _NFS_PORT


def read_mounts(path: str = "/proc/self/mountinfo") -> tuple[Mount, ...]:
    """This host's mounts; none where they cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return parse_mounts(stream.read())
    except OSError:
        return ()
