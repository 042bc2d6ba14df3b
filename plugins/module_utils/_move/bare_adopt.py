# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Whether a guest process can become a domain of libvirt's on the destination: its definition, or the findings that say why not."""

from __future__ import annotations

import os
import typing as t
import uuid as uuid_room

from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import hard_blocker, warning
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import answers
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.adopt import Known, adopt
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import parse

_NET = "/sys/class/net"


def adoption(
    context: BareContext, argv: t.Sequence[str], there: t.Sequence[str], memory: int
) -> tuple[str, tuple[str, ...], list[Finding]]:
    """The definition of the domain, the bridges that it needs there, and what is against it. ``argv`` is the command line here,
    ``there`` what it would be on the destination."""
    subject, host = f"guest {context.name}", context.far.host
    # One without a UUID gets one now: libvirt knows its domains by it.
    context.uuid = context.uuid or str(uuid_room.uuid4())
    bridges = _bridges(context, argv)
    text = context.source().hmp("info network") if context.monitor is not None else ""
    macs = {nic.netdev: nic.mac for nic in answers.nics_by_text(text) if nic.netdev}
    known = Known(parse(argv).merged("name").get("guest") or context.name, context.uuid, memory, macs, bridges)
    found = adopt(there, known)
    findings = [
        hard_blocker(
            "ADOPTION_IMPOSSIBLE", subject, f"The guest '{context.name}' cannot become a domain of libvirt: {problem}.",
            "Move it as a process, or take that away from it.",
        )
        for problem in found.problems
    ]  # fmt: skip
    seen = context.far.facts(domain=[known.name, context.uuid, found.xml])["domain"]
    if not seen["virsh"]:
        message = f"{host} has no virsh, so there is no libvirt to adopt the guest '{context.name}'."
        findings.append(hard_blocker("ADOPTION_IMPOSSIBLE", f"host {host}", message, "Install libvirt there."))
    for key, code in (("name", "NAME_CONFLICT"), ("uuid", "UUID_CONFLICT")):
        if seen[key]:
            message = f"libvirt on {host} has a domain with the {key} of the guest '{context.name}' already."
            findings.append(hard_blocker(code, subject, message, "Rename or undefine one of the two."))
    if seen["reason"]:
        message = f"libvirt on {host} does not take the guest '{context.name}': {seen['reason']}."
        findings.append(hard_blocker("ADOPTION_IMPOSSIBLE", subject, message, "Remove what it names."))
    findings.append(
        warning(
            "ADOPTED_PLACES", subject,
            f"As a domain the devices of the guest '{context.name}' have other places on its buses, so it may call its network cards "
            "otherwise; their addresses stay.",
            "Look at its network configuration.",
        )
    )  # fmt: skip
    return found.xml, tuple(sorted(set(bridges.values()))), findings


def _bridges(context: BareContext, argv: t.Sequence[str]) -> dict[str, str]:
    """Backend -> the destination's bridge, for those whose tap device is in one here."""
    found = {}
    for keys in (option.keys for option in parse(argv).all("netdev")):
        try:
            name = os.path.basename(os.readlink(f"{_NET}/{keys.get('ifname')}/master")) if keys.get("ifname") else ""
        except OSError:
            name = ""
        name = name or (keys.get("br", "br0") if keys.get("type") == "bridge" else "")
        if name:
            found[keys.get("id")] = context.mapping.base.bridges.get(name, name)
    return found
