# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The stages in which a guest process becomes a domain while it runs: libvirt there restores it from the stream that its QEMU sends.

Its transfer and its switch are those of every live move; the destination's half is libvirt's, and only we let it run. libvirt takes no
disks in from a process, but it need not: until its domain runs, its QEMU only has the images open, as that of a guest on shared storage.
So the process of ours that shows libvirt's machine writes them, and is gone before libvirt's QEMU does.
"""

from __future__ import annotations

import contextlib

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import INCOMING
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BarePlan
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_ports import Ports, listen
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_stages import (
    folders,
    images,
    refuse_other_machine,
    serve_disks,
    waited,
    way,
)
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_transfer import transfer
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import mirror, qtree, tls, visible
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.adopt import files_of

_LOOKS, _BETWEEN = 3, 0.1


def prepare_domain(context: BareContext, plan: BarePlan) -> Ports:
    """Folders, images, the proof that libvirt's machine is the guest's own, who writes the disks, and libvirt waiting for its memory."""
    with context.stage("prepare"):
        context.tell("prepare")
        context.check_stop("its preparation")
        address = way(context)
        folders(context, plan)
        images(context, plan)
        _prove_alike(context, plan)
        # Before libvirt makes the images its own: who writes them has them open by then.
        disks = _serve(context, plan, address) if plan.disks else end_ours(context)
        # From here on libvirt has the images open, and they are its own; their content is the source's until that has handed over.
        context.record(owners=context.far.facts(owners=files_of(plan.domain))["owners"])
        tls_dir = context.options.tls_dir if context.options.tls else ""

        def begin(port: int) -> None:
            context.far.call("domain_receive", key=context.key, address=address, port=port, tls_dir=tls_dir)

        return Ports(address, listen(context, address, begin), disks)


def _prove_alike(context: BareContext, plan: BarePlan) -> None:
    """Start libvirt's command line, as a process that waits and has nothing of the host but the images, and look at its machine."""
    argv = [*plan.probe, "-S", "-incoming", "defer", "-qmp", f"unix:{context.socket()},server=on,wait=off"]
    context.record(there=tuple(context.far.call("start", key=context.key, argv=argv, user=plan.user)))
    there = visible.see(context.there_all)
    refuse_other_machine(context, visible.differences(plan.visible, there, named=False))
    context.one_version = plan.visible.version == there.version


def _serve(context: BareContext, plan: BarePlan, address: str) -> int:
    """Let the process that showed the machine take the disks in; gives the port."""
    if context.options.tls:
        tls.add(context.there, tls.SERVER, context.options.tls_dir, context.far.host)
    return serve_disks(context, plan, address)


def end_ours(context: BareContext) -> int:
    """The process of ours is proven to be gone: nobody writes the images any more, and libvirt's QEMU may once it has the guest.

    Nothing of it is needed then, for a mirror that ended well has flushed what it sent into the images.
    """
    if not context.far.call("end_process", key=context.key):
        raise KvmError(
            "DESTINATION_FAILED",
            f"A process that was started on {context.far.host} in the place of the domain does not end.",
        )
    return 0


def transfer_domain(context: BareContext, plan: BarePlan, ports: Ports) -> mirror.Mirrors:
    """Its memory, up to where the guest stands still on the source and its devices have not been sent."""
    try:
        return transfer(context, plan, ports)
    except KvmError as error:
        if error.error_code != "MIGRATION_FAILED":
            raise
        why = ""
        with contextlib.suppress(KvmError):
            # libvirt says why only once it is done with a QEMU that let go of the stream.
            why = waited(
                context,
                lambda: context.far.call("domain_arrived", uuid=context.record_now().uuid),
                lambda seen: seen["state"] != INCOMING,
                f"libvirt on {context.far.host} to end the domain",
            )["reason"]
        if not why:
            raise
        raise KvmError("ADOPTION_FAILED", f"libvirt on {context.far.host} did not take its memory: {why}") from error


def domain_arrived(context: BareContext) -> None:
    """libvirt has all of it, and it stands still; it is the same machine; and libvirt keeps its definition."""
    journal = context.record_now()
    seen = waited(
        context,
        lambda: context.far.call("domain_arrived", uuid=journal.uuid),
        lambda one: bool(one["reason"]) or one["state"] not in ("", INCOMING),
        f"the guest to arrive on {context.far.host}",
    )
    if seen["reason"]:
        raise KvmError("ADOPTION_FAILED", f"libvirt on {context.far.host} did not restore it: {seen['reason']}")
    if seen["state"] == "paused" and context.monitor is not None:
        # The real one, for libvirt may have made something else of it than it had told.
        trees = visible.tree_of(context.source().execute), context.far.call("domain_tree", uuid=journal.uuid)
        refuse_other_machine(context, qtree.differences(*map(qtree.unnamed, trees), one_version=context.one_version))
    context.record(defined=True, there=())
    context.far.call("domain_define", xml=journal.domain)


def verify_domain(context: BareContext) -> None:
    """Let libvirt run it, where it ran before, and see that it runs and goes on to."""
    journal = context.record_now()
    with context.stage("verify"):
        context.tell("verify")
        if journal.state == "running":
            context.far.call("domain_resume", uuid=journal.uuid)
            context.runs_again()
        for _look in range(_LOOKS):
            context.clock.sleep(_BETWEEN)
            state = context.far.look(context.key, context.name, context.uuid)[0].state
            if state != journal.state:
                raise KvmError(
                    "VERIFY_FAILED",
                    f"The domain '{context.name}' was started on {context.far.host} and is {state or 'off'} now; see libvirt's log of it.",
                )
