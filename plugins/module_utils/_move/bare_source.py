# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Which process a guest's name means on the source, and by which monitor it is spoken with."""

from __future__ import annotations

import posixpath

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import processes, words
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.address import parse_address


def monitor_of(name: str, asked: str, workspace: Workspace, key: str) -> tuple[str, str]:
    """The address of the monitor and the UUID of the guest; empty where it is not on this host.

    Raises GUEST_AMBIGUOUS, LIBVIRT_MANAGED, NO_MONITOR and MONITOR_ADDRESS.
    """
    pids = processes.guests(name)
    if len(pids) > 1:
        raise KvmError(
            "GUEST_AMBIGUOUS",
            f"{len(pids)} QEMU processes of this host have the name '{name}' ({', '.join(map(str, pids))}); give the UUID of the one.",
            pids=pids,
        )
    if not pids:
        journal = workspace.read_guest(key)
        return (asked or (journal.monitor if journal is not None else "")), (
            journal.uuid if journal is not None else ""
        )
    argv = processes.argv_of(pids[0])
    if processes.is_libvirts(argv):
        raise KvmError(
            "LIBVIRT_MANAGED",
            f"The guest '{name}' (process {pids[0]}) is a domain of libvirt; move it with virtops.kvm.domain_migration.",
            pid=pids[0],
        )
    uuid = words.uuid_of(argv)
    if asked:
        parse_address(asked)
        return asked, uuid
    # Those of QMP first.
    found = [address for _kind, address in words.monitors_of(argv)]
    if not found:
        raise KvmError(
            "NO_MONITOR",
            f"The guest '{name}' (process {pids[0]}) has no monitor on a socket (-qmp, -monitor), without which it cannot be asked.",
            pid=pids[0],
        )
    return _absolute(found[0], processes.cwd_of(pids[0])), uuid


def _absolute(address: str, cwd: str) -> str:
    """The address of a socket that was given relative to the folder that QEMU was started in."""
    path = address[len("unix:") :] if address.startswith("unix:") else ""
    return f"unix:{posixpath.join(cwd, path)}" if path and not path.startswith("@") else address
