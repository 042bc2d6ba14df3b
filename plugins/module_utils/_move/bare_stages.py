# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a guest process's move makes on the destination before anything is sent. It is in both records before it is made."""

from __future__ import annotations

import posixpath
import socket
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock, wait_until
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.knock import probe
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import LIBVIRT
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import hard_blocker
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BarePlan
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_ports import Ports, listen
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_stream import tell_there
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import mirror, tls, visible

#: How long QEMU may take for a step that is over at once where both sides live.
STEP_SECONDS = 30.0
_QUICK = 0.01
#: How a knock at a port ends behind a firewall.
_SHUT = ("timeout", "unreachable")


def prepare(context: BareContext, plan: BarePlan) -> Ports:
    """Folders, images and the waiting guest on the destination, which must be the same machine to the guest."""
    with context.stage("prepare"):
        context.tell("prepare")
        context.check_stop("its preparation")
        address = way(context)
        folders(context, plan)
        images(context, plan)
        _start(context, plan)
        _compare(context, plan)
        return _listen(context, plan, address)


def make_ready(context: BareContext, plan: BarePlan) -> None:
    """What can be made on the destination before a guest that is moved offline shuts down."""
    with context.stage("prepare"):
        context.tell("prepare")
        context.check_stop("its preparation")
        folders(context, plan)
        _clear_way(context, plan)


def folders(context: BareContext, plan: BarePlan) -> None:
    """Folders that the guest's QEMU needs there and that are not there yet."""
    wanted = sorted(
        {*plan.places, *(posixpath.dirname(disk.path) for disk in plan.disks if not disk.path.startswith("/dev/"))}
    )
    facts = context.far.facts(places=wanted)
    for folder in facts["folders"]:
        context.record(folders=(*context.record_now().folders, folder))
        context.far.call("folder", path=folder, owner=plan.user)


def images(context: BareContext, plan: BarePlan) -> None:
    """An image for every disk that is copied, of exactly its size."""
    shared = context.options.base == "shared"
    _clear_way(context, plan)
    for disk in plan.disks:
        if disk.path.startswith("/dev/"):
            continue
        before = context.record_now().images
        context.record(images=(*before, disk.path))
        try:
            context.far.call(
                "image",
                path=disk.path,
                image_format=disk.format,
                size=disk.size,
                owner=plan.user or disk.owner,
                backing=disk.backing if shared else "",
                backing_format=disk.backing_format if shared else "",
            )
        except KvmError as exc:
            if exc.error_code == "IMAGE_EXISTS":
                # Somebody else's, so no undo may remove it.
                context.record(images=before)
            raise


def _clear_way(context: BareContext, plan: BarePlan) -> None:
    """Remove what an earlier move of this guest left in the way, out of date since; and what the user says is an old image."""
    files = [disk.path for disk in plan.disks if not disk.path.startswith("/dev/")]
    if not files:
        return
    facts = context.far.facts(images=files, name=context.name, uuid=context.uuid)
    for path in facts["existing"]:
        if path in facts["leftover"] or "IMAGE_EXISTS" in context.options.accept:
            context.far.call("clear_way", path=path)


def way(context: BareContext) -> str:
    """The destination's address, from which a refusal comes back at once: QEMU would hang on one behind a firewall that drops what comes,
    and its guest with it. Raises PORT_BLOCKED."""
    address = _address(context)
    (port,) = context.far.call("free_ports", address=address, count=1)
    result = probe(address, port)
    if result in _SHUT:
        raise KvmError(
            "PORT_BLOCKED",
            f"{context.source_host} gets no answer from {address} on the ports for memory and disks ({port}: {result}); open 49152 to "
            "49215/tcp there, or use another migration_address",
            address=address,
            ports=[port],
            result=result,
        )
    return address


def _start(context: BareContext, plan: BarePlan) -> None:
    argv = [*plan.argv, "-S", "-incoming", "defer", "-qmp", f"unix:{context.socket()},server=on,wait=off"]
    there = context.far.call("start", key=context.key, argv=argv, user=plan.user)
    context.record(there=tuple(there))


def _address(context: BareContext) -> str:
    """The destination's address in the network of the data, as a number: both sides take it as it is."""
    name = context.options.migration_address or context.far.address or context.far.host
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise KvmError(
            "HOST_UNREACHABLE", f"The address '{name}' of {context.far.host} cannot be resolved: {exc}."
        ) from exc
    return str(found[0][4][0])


def _compare(context: BareContext, plan: BarePlan) -> None:
    """QEMU does not notice another processor or a device more: we do."""
    refuse_other_machine(context, visible.differences(plan.visible, visible.see(context.there_all)))


def refuse_other_machine(context: BareContext, found: t.Sequence[str]) -> None:
    """Raises HARDWARE_DIFFERS where anything was ``found`` that the guest would notice."""
    if not found:
        return
    remedy = "Give both sides the same QEMU and processor, and the guest the same devices."
    if context.options.target == LIBVIRT:
        remedy = "Move it offline, leave it a process, or give it devices as libvirt makes them."
    finding = hard_blocker(
        "HARDWARE_DIFFERS", f"guest {context.name}",
        f"The guest '{context.name}' would see another machine on {context.far.host}: {'; '.join(found[:3])}"
        f"{f' ({len(found) - 3} more)' if len(found) > 3 else ''}.",
        remedy, differences=list(found),
    )  # fmt: skip
    raise KvmError("HARDWARE_DIFFERS", f"{finding.message} {finding.remedy}", findings=[to_data(finding)])


def _listen(context: BareContext, plan: BarePlan, address: str) -> Ports:
    """Let the waiting guest listen for memory, and for the disks."""
    tell_there(context)
    if context.options.tls:
        tls.add(context.there, tls.SERVER, context.options.tls_dir, context.far.host)
    memory = listen(context, address, lambda port: context.there("migrate-incoming", {"uri": Ports(address, port).uri}))
    if not plan.disks or context.options.legacy_block:
        return Ports(address, memory)
    return Ports(address, memory, serve_disks(context, plan, address))


def serve_disks(context: BareContext, plan: BarePlan, address: str) -> int:
    """Let the process that waits there take the disks in, and give the port. It knows the certificates already where there is TLS."""
    secret = {"tls-creds": tls.CREDENTIALS} if context.options.tls else {}

    def serve(port: int) -> None:
        place = {"type": "inet", "data": {"host": address, "port": str(port)}}
        context.there("nbd-server-start", {"addr": place, **secret})

    nodes = mirror.nodes_of(context.there("query-block"), plan.disks, by_path=bool(plan.domain))
    for disk, node in zip(plan.disks, nodes):
        if not node:
            raise KvmError("DESTINATION_FAILED", f"QEMU on {context.far.host} does not have the disk '{disk.key}'.")
    port = listen(context, address, serve)
    for number, node in enumerate(nodes):
        name = mirror.export(number)
        export = {"type": "nbd", "id": name, "node-name": node, "name": name, "writable": True}
        context.there("block-export-add", export)
    return port


class _Hearing(Clock):
    """Waits for the next event of the source's QEMU, too."""

    def __init__(self, context: BareContext, events: t.Sequence[str]) -> None:
        self._context = context
        self._events = events

    def monotonic(self) -> float:
        return self._context.clock.monotonic()

    def sleep(self, seconds: float) -> None:
        self._context.pause(seconds, *self._events)


def waited(
    context: BareContext, probe: t.Callable[[], t.Any], done: t.Callable[[t.Any], bool], what: str, *events: str
) -> t.Any:
    """A step that ends soon, or never. ``events`` of the source's QEMU are what may have brought it about."""
    clock = _Hearing(context, events) if events else context.clock
    return wait_until(clock, probe, done, what=what, timeout=STEP_SECONDS, interval=_QUICK)
