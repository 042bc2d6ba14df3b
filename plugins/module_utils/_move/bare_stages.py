# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The stages of a guest process's move up to its switch: prepare and transfer. What they make is in both records before it is made."""

from __future__ import annotations

import posixpath
import socket
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import wait_until
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.sshtarget import SshTarget
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import hard_blocker
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BarePlan
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_ports import Ports, listen
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_stream import tell_here, tell_there
from ansible_collections.virtops.kvm.plugins.module_utils._move.timeouts import time_limit
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import mirror, tls, visible

#: How long QEMU may take for a step that is over at once where both sides live.
STEP_SECONDS = 30.0
#: No byte went for so long: the other side, or the link, is gone.
STALL_SECONDS = 60.0
_POLL, _QUICK = 0.1, 0.01
_QUICK_SECONDS = 3.0
_TRANSFERRING = ("setup", "active", "wait-unplug", "postcopy-active", "device")


def prepare(context: BareContext, plan: BarePlan) -> Ports:
    """Folders, images and the waiting guest on the destination, which must be the same machine to the guest."""
    with context.stage("prepare"):
        context.tell("prepare")
        context.check_stop("its preparation")
        _folders(context, plan)
        _images(context, plan)
        address = _address(context)
        _start(context, plan)
        _compare(context, plan)
        return _listen(context, plan, address)


def make_ready(context: BareContext, plan: BarePlan) -> None:
    """What can be made on the destination before a guest that is moved offline shuts down."""
    with context.stage("prepare"):
        context.tell("prepare")
        context.check_stop("its preparation")
        _folders(context, plan)
        _clear_way(context, plan)


def _folders(context: BareContext, plan: BarePlan) -> None:
    wanted = sorted(
        {*plan.places, *(posixpath.dirname(disk.path) for disk in plan.disks if not disk.path.startswith("/dev/"))}
    )
    facts = context.far.facts(places=wanted)
    for folder in facts["folders"]:
        context.record(folders=(*context.record_now().folders, folder))
        context.far.call("folder", path=folder, owner=plan.user)


def _images(context: BareContext, plan: BarePlan) -> None:
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
    found = visible.differences(plan.visible, visible.see(context.there))
    if not found:
        return
    finding = hard_blocker(
        "HARDWARE_DIFFERS", f"guest {context.name}",
        f"The guest '{context.name}' would see another machine on {context.far.host}: {'; '.join(found[:3])}"
        f"{f' ({len(found) - 3} more)' if len(found) > 3 else ''}.",
        "Give both sides the same QEMU and processor, and the guest the same devices.", differences=found,
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
    secret = {"tls-creds": tls.CREDENTIALS} if context.options.tls else {}

    def serve(port: int) -> None:
        place = {"type": "inet", "data": {"host": address, "port": str(port)}}
        context.there("nbd-server-start", {"addr": place, **secret})

    disks = listen(context, address, serve)
    _export(context, plan)
    return Ports(address, memory, disks)


def _export(context: BareContext, plan: BarePlan) -> None:
    """The disks of the waiting guest, for the mirrors."""
    nodes = {
        name: block["inserted"]["node-name"]
        for block in context.there("query-block")
        if block.get("inserted")
        for name in (block.get("device"), block.get("qdev"))
        if name
    }
    for number, disk in enumerate(plan.disks):
        if disk.key not in nodes:
            raise KvmError("DESTINATION_FAILED", f"QEMU on {context.far.host} does not have the disk '{disk.key}'.")
        context.there(
            "block-export-add",
            {
                "type": "nbd",
                "id": mirror.export(number),
                "node-name": nodes[disk.key],
                "name": mirror.export(number),
                "writable": True,
            },
        )


# ---- transfer ----


def transfer(context: BareContext, plan: BarePlan, ports: Ports) -> mirror.Mirrors:
    """Disks, then memory, up to where the guest stands still on the source and its devices have not been sent."""
    source, options = context.source(), context.options
    mirrors = mirror.Mirrors(
        source,
        plan.disks,
        top=options.base == "shared",
        bandwidth=options.bandwidth,
        name=_name_in_certificate(context),
    )
    limit = time_limit(options.timeout, plan.memory, sum(disk.size for disk in plan.disks))
    with context.stage("transfer"):
        mirror.clear(source)
        tls.drop(source.execute)
        if options.tls:
            tls.add(source.execute, tls.CLIENT, options.tls_dir, context.source_host)
        if plan.disks and not options.legacy_block:
            for number in range(len(plan.disks)):
                mirrors.begin(number, ports.address, ports.disks)
            _mirrored(context, mirrors, limit)
        _migrate(context, ports)
        _sent(context, plan, mirrors, limit)
    return mirrors


def _name_in_certificate(context: BareContext) -> str:
    """As whom the destination has to prove itself; empty without TLS. The streams go to its address, which no certificate need have."""
    options = context.options
    return (options.migration_address or SshTarget.parse(context.destination).host) if options.tls else ""


def _mirrored(context: BareContext, mirrors: mirror.Mirrors, limit: float) -> None:
    watch = _Watch(context, limit)
    while True:
        jobs = mirrors.look()
        total = sum(job["total-progress"] for job in jobs)
        done = sum(job["current-progress"] for job in jobs)
        context.meter.add(context.elapsed(), done)
        context.tell(
            "transfer",
            disk_total=total,
            disk_done=done,
            rate=context.meter.rate,
            eta=context.meter.eta(total - done) if total > done else None,
        )
        context.figures.update(disk_bytes=done, disk_total=total)
        if all(job["status"] == "ready" for job in jobs):
            return
        watch.turn(done, "the copy of its disks")


def _migrate(context: BareContext, ports: Ports) -> None:
    source, options = context.source(), context.options
    tell_here(context, _name_in_certificate(context))
    arguments: dict[str, t.Any] = {"uri": ports.uri}
    if options.legacy_block:
        if not source.schema().has_argument("migrate", "blk"):
            raise KvmError(
                "OPTION_UNSUPPORTED",
                f"QEMU on {context.source_host} has no 'migrate -b' any more (removed in 9.1); leave legacy_block out.",
                option="legacy_block",
            )
        arguments["inc" if options.base == "shared" else "blk"] = True
    source.execute("migrate", arguments)


def _sent(context: BareContext, plan: BarePlan, mirrors: mirror.Mirrors, limit: float) -> None:
    watch = _Watch(context, limit)
    while True:
        status = context.source().execute("query-migrate")
        state = status["status"]
        _tell_memory(context, status)
        if state == "pre-switchover":
            return
        if state not in _TRANSFERRING:
            reason = status.get("error-desc") or f"its migration is {state}"
            raise KvmError(
                "MIGRATION_FAILED", f"QEMU on {context.source_host} could not send its memory: {reason}.", state=state
            )
        if plan.disks and not context.options.legacy_block:
            mirrors.look()
        moved = status.get("ram", {}).get("transferred", 0) + status.get("disk", {}).get("transferred", 0)
        watch.turn(moved, "the copy of its memory")


def _tell_memory(context: BareContext, status: t.Mapping[str, t.Any]) -> None:
    ram, disk = status.get("ram", {}), status.get("disk", {})
    done = ram.get("transferred", 0) + disk.get("transferred", 0)
    context.meter.add(context.elapsed(), done)
    left = ram.get("remaining", 0) + disk.get("remaining", 0)
    figures: dict[str, t.Any] = {"rate": context.meter.rate, "eta": context.meter.eta(left) if left else None}
    if ram.get("total"):
        figures.update(memory_total=ram["total"], memory_done=ram["total"] - ram.get("remaining", 0))
        context.figures["memory_bytes"] = ram.get("transferred", 0)
    if disk.get("total"):
        figures.update(disk_total=disk["total"], disk_done=disk["total"] - disk.get("remaining", 0))
        context.figures["disk_bytes"] = disk.get("transferred", 0)
    elif context.figures.get("disk_total"):
        figures.update(disk_total=context.figures["disk_total"], disk_done=context.figures["disk_bytes"])
    context.tell("transfer", **figures)


class _Watch:
    """Ends what takes too long, or does not go on; and lets others have their turn between two looks."""

    def __init__(self, context: BareContext, limit: float) -> None:
        self._context = context
        self._limit = limit
        self._begun = self._moved_at = context.clock.monotonic()
        self._moved = -1
        self._postcopy = False

    def turn(self, moved: int, what: str) -> None:
        """Raises MOVE_TIMEOUT, MOVE_STALLED and MOVE_ABORTED."""
        context = self._context
        context.check_stop(what)
        now = context.clock.monotonic()
        if moved != self._moved:
            self._moved, self._moved_at = moved, now
        if now - self._moved_at > STALL_SECONDS:
            raise KvmError("MOVE_STALLED", f"nothing went to {context.far.host} for {STALL_SECONDS:g} s during {what}")
        if now - self._begun > self._limit and not self._postcopy:
            if context.options.timeout_action == "postcopy" and what.endswith("memory"):
                context.source().execute("migrate-start-postcopy")
                self._postcopy = True
            else:
                raise KvmError("MOVE_TIMEOUT", f"{what} took longer than {self._limit:g} s")
        context.clock.sleep(_QUICK if now - self._begun < _QUICK_SECONDS else _POLL)


def waited(context: BareContext, probe: t.Callable[[], t.Any], done: t.Callable[[t.Any], bool], what: str) -> t.Any:
    """A step that ends soon, or never."""
    return wait_until(context.clock, probe, done, what=what, timeout=STEP_SECONDS, interval=_QUICK)
