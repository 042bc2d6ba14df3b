# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The commands of a move on the source's monitor: mirrors of disks, the migration, the handover. One step each, no decisions.

A step that finds its work done does nothing, so that each may be repeated.
"""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import MovedDisk
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import tls
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.session import Session

if t.TYPE_CHECKING:
    from ansible_collections.virtops.kvm.plugins.module_utils._qemu.human import HumanSession

    Spoken = t.Union[Session, HumanSession]

JOB, TARGET, PROTOCOL = "virtops-move-", "virtops-to-", "virtops-nbd-"
MIB = 1 << 20
#: No limit: more than any link has.
_UNLIMITED = 1 << 50


class Mirrors:
    """The mirrors of the disks of one move. With TLS ``name`` is what the destination's certificate has to say; empty without."""

    def __init__(
        self, monitor: Spoken, disks: t.Sequence[MovedDisk], *, top: bool, bandwidth: int, name: str = ""
    ) -> None:
        self._monitor = monitor
        self._disks = disks
        self._top = top
        self._bandwidth = bandwidth
        self._name = name

    def begin(self, number: int, address: str, port: int) -> None:
        """Begin to mirror disk ``number`` to the export of that number."""
        disk = self._disks[number]
        server = {"type": "inet", "host": address, "port": str(port)}
        protocol: dict[str, t.Any] = {
            "driver": "nbd", "node-name": f"{PROTOCOL}{number}", "server": server, "export": export(number),
        }  # fmt: skip
        if self._name:
            protocol["tls-creds"] = tls.CREDENTIALS
            if self._monitor.schema().has_argument("blockdev-add", "tls-hostname"):
                protocol["tls-hostname"] = self._name
        target = {
            "driver": "raw", "node-name": f"{TARGET}{number}", "discard": "unmap", "detect-zeroes": "unmap", "file": protocol,
        }  # fmt: skip
        self._monitor.execute("blockdev-add", target)
        arguments: dict[str, t.Any] = {
            "job-id": f"{JOB}{number}", "device": disk.node, "target": f"{TARGET}{number}", "sync": "top" if self._top else "full",
            "auto-dismiss": False, "on-target-error": "report", "copy-mode": "background",
        }  # fmt: skip
        if self._bandwidth:
            arguments["speed"] = self._bandwidth * MIB
        self._monitor.execute("blockdev-mirror", arguments)

    def look(self) -> tuple[dict[str, t.Any], ...]:
        """Our jobs as QEMU tells them. Raises MIRROR_FAILED for one that ended in an error."""
        jobs = tuple(job for job in self._monitor.execute("query-jobs") if job["id"].startswith(JOB))
        for job in jobs:
            if job.get("error"):
                disk = self._disks[int(job["id"][len(JOB) :])]
                raise KvmError(
                    "MIRROR_FAILED",
                    f"Copying the disk {disk.key} ({disk.source}) to {disk.path} failed: {job['error']}.",
                    disk=disk.key,
                    reason=job["error"],
                )
        return jobs

    def finish(self) -> None:
        """Ask every mirror to end where it is; what the guest wrote is there then, and flushed. Its CPUs must stand still."""
        for job in self.look():
            if job["status"] == "ready":
                self._monitor.execute("block-job-cancel", {"device": job["id"], "force": False})

    def finished(self) -> bool:
        """Whether all ended, and well."""
        return all(job["status"] == "concluded" for job in self.look())


def export(number: int) -> str:
    """The name of the export of a disk."""
    return f"disk-{number}"


def nodes_of(
    blocks: t.Sequence[t.Mapping[str, t.Any]], disks: t.Sequence[MovedDisk], *, by_path: bool = False
) -> list[str]:
    """The node of each disk in another QEMU, as its ``query-block`` tells; empty for one that is not there. libvirt calls its devices
    otherwise, so there it is found ``by_path`` of its image."""
    found: dict[str, str] = {}
    for block in blocks:
        inserted = block.get("inserted")
        names = (inserted["file"],) if by_path and inserted else (block.get("device"), block.get("qdev"))
        found.update({name: inserted["node-name"] for name in names if name and inserted})
    return [found.get(disk.path if by_path else disk.key, "") for disk in disks]


def cancel(monitor: Spoken) -> None:
    """End our mirrors by force, without waiting."""
    for job in monitor.execute("query-jobs"):
        if job["id"].startswith(JOB) and job["status"] not in ("concluded", "null", "aborting"):
            with contextlib.suppress(KvmError):
                monitor.execute("block-job-cancel", {"device": job["id"], "force": True})


def running(monitor: Spoken) -> bool:
    """Whether one of our mirrors has not ended yet."""
    return any(job["id"].startswith(JOB) and job["status"] != "concluded" for job in monitor.execute("query-jobs"))


def clear(monitor: Spoken) -> None:
    """Take ended jobs of ours and their nodes away."""
    for job in monitor.execute("query-jobs"):
        if job["id"].startswith(JOB) and job["status"] == "concluded":
            monitor.execute("job-dismiss", {"id": job["id"]})
    names = [node["node-name"] for node in monitor.execute("query-named-block-nodes", {"flat": True})]
    for prefix in (TARGET, PROTOCOL):
        for name in names:
            if name.startswith(prefix):
                with contextlib.suppress(KvmError):
                    # A raw node takes its protocol node along.
                    monitor.execute("blockdev-del", {"node-name": name})


def yank(monitor: Spoken) -> None:
    """Cut our connections while the main loop is held by them; possible out of band only."""
    if not monitor.oob:
        return
    with contextlib.suppress(KvmError):
        offered = monitor.execute("query-yank", timeout=5, oob=True)
        ours = [
            one
            for one in offered
            if one["type"] == "migration" or one.get("node-name", "").startswith((PROTOCOL, TARGET))
        ]
        if ours:
            monitor.execute("yank", {"instances": ours}, timeout=5, oob=True)


def settings(monitor: Spoken, wanted: t.Mapping[str, bool]) -> dict[str, bool]:
    """The capabilities among ``wanted`` that this QEMU has."""
    known = {one["capability"] for one in monitor.execute("query-migrate-capabilities")}
    return {name: value for name, value in wanted.items() if name in known}


def apply(monitor: Spoken, capabilities: t.Mapping[str, bool], parameters: t.Mapping[str, t.Any]) -> None:
    """Set capabilities and parameters of a migration."""
    if capabilities:
        listed = [{"capability": name, "state": value} for name, value in capabilities.items()]
        monitor.execute("migrate-set-capabilities", {"capabilities": listed})
    if parameters:
        monitor.execute("migrate-set-parameters", dict(parameters))


def bandwidth_of(mib: int) -> int:
    """Bytes per second for a limit in MiB/s; QEMU's own default would be slow."""
    return mib * MIB if mib else _UNLIMITED
