# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The destination's libvirt, for a guest process that becomes a domain there: looked at, defined, started, ended, forgotten.

Shipped to the destination with the agent: the standard library only, so libvirt is spoken with by virsh.
"""

from __future__ import annotations

import os
import re
import tempfile
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import processes

_SECONDS = 85.0
#: libvirt, or the guest itself, ends it. Whether it ever ran cannot be told from that.
ENDING = "shutdown"
#: virsh's words for a domain that has a process, and the run states of QEMU that they stand for.
_STATES = {
    "running": "running",
    "idle": "running",
    "in shutdown": ENDING,
    "paused": "paused",
    "pmsuspended": "suspended",
}
#: Paused, and its memory is not there yet.
_ARRIVING = "starting up"

Value = dict[str, t.Any]


def facts(name: str, uuid: str, xml: str, shown: str = "") -> Value:
    """Whether a domain has the name or the UUID already, why libvirt would not take the definition ``xml``, what command line it would
    make of ``shown``, and libvirt's version there. Changes nothing."""
    taken = {}
    for key, wanted in (("name", name), ("uuid", uuid)):
        done = _virsh("domuuid", wanted)
        if done is None:
            return {"virsh": False, "name": False, "uuid": False, "reason": "", "native": "", "version": []}
        taken[key] = done.status == 0
    reason = native = ""
    for document in filter(None, (xml, shown)):
        done = _with_file(document, "domxml-to-native", "qemu-argv", "--xml")
        reason, native = (reason, done.stdout) if done.status == 0 else (done.reason, "")
    return {"virsh": True, **taken, "reason": reason, "native": native, "version": _version()}


def _version() -> list[int]:
    """That of the daemon; empty where it does not tell."""
    done = _virsh("version", "--daemon")
    found = re.search(r"against daemon: ([0-9.]+)", done.stdout) if done is not None else None
    return [int(part) for part in found.group(1).split(".") if part] if found else []


def define(xml: str) -> None:
    """Define it. Raises ADOPTION_FAILED with libvirt's words."""
    done = _with_file(xml, "define")
    if done.status != 0:
        raise failed("define the domain", done.reason)


def start(uuid: str) -> None:
    """Start it, standing still; one that has a process is left alone. Raises ADOPTION_FAILED with libvirt's words."""
    if not state(uuid):
        _do("start the domain", "start", "--paused", uuid)


def resume(uuid: str) -> None:
    """Let it run; one that does is left alone. Raises ADOPTION_FAILED with libvirt's words."""
    if state(uuid) != "running":
        _do("let the domain run", "resume", uuid)


def state(uuid: str) -> str:
    """Its run state in QEMU's words; empty where it has no process, or is not there."""
    done = _virsh("domstate", "--reason", uuid)
    if done is None or done.status != 0:
        return ""
    run, _bracket, reason = done.stdout.strip().rstrip(")").partition(" (")
    return "inmigrate" if (run, reason) == ("paused", _ARRIVING) else _STATES.get(run, "")


def process_of(uuid: str) -> int:
    """The process of libvirt's that has this guest, 0 where there is none: it may run where the daemon is away and tells nothing."""
    found = [pid for pid in processes.guests(uuid) if processes.is_libvirts(processes.argv_of(pid))]
    return found[0] if found else 0


def tree(uuid: str) -> str:
    """What its monitor tells of its devices. Raises ADOPTION_FAILED with libvirt's words."""
    done = _virsh("qemu-monitor-command", uuid, "--hmp", "info qtree")
    if done is None or done.status != 0:
        raise failed("ask the domain's monitor", done.reason if done else "there is no virsh")
    return done.stdout.replace("\r\n", "\n")


def destroy(uuid: str) -> bool:
    """End its process; tells whether it is gone, by libvirt's word and by the processes of this host."""
    if state(uuid):
        _virsh("destroy", uuid)
    return not state(uuid) and not process_of(uuid)


def forget(uuid: str) -> str:
    """Take its definition away; its files stay. Gives why it is still there, empty where it is not."""
    done = _virsh("undefine", uuid, "--keep-nvram")
    left = _virsh("domuuid", uuid)
    return done.reason if done is not None and left is not None and left.status == 0 else ""


def _do(what: str, *words: str) -> None:
    done = _virsh(*words)
    if done is None or done.status != 0:
        raise failed(what, done.reason if done else "there is no virsh")


def _virsh(*words: str) -> command.Done | None:
    try:
        return command.run(["virsh", "-q", "-c", "qemu:///system", *words], timeout=_SECONDS)
    except KvmError as exc:
        if exc.error_code != "PROGRAM_MISSING":
            raise
        return None


def _with_file(xml: str, *words: str) -> command.Done:
    handle, path = tempfile.mkstemp(prefix="virtops-", suffix=".xml")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(xml)
        done = _virsh(*words, path)
    finally:
        os.unlink(path)
    if done is None:
        raise failed("speak with libvirt", "there is no virsh")
    return done


def failed(what: str, reason: str) -> KvmError:
    """The error for what libvirt did not do."""
    return KvmError("ADOPTION_FAILED", f"libvirt did not {what}: {reason}")
