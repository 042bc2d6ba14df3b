# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Whether a guest process can become a domain of libvirt's on the destination: its definition, or the findings that say why not."""

from __future__ import annotations

import os
import typing as t
import uuid as uuid_room

from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import OFFLINE, MovedDisk
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import hard_blocker, warning
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_restore import FIRST_VERSION
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import answers
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.adopt import Known, adopt
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.adoptplace import place
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.adoptprobe import probe, without_cards
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.argv import parse
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.visible import Visible

_NET = "/sys/class/net"


class Adoption(t.NamedTuple):
    """The ``xml`` of the domain, the ``bridges`` that it needs there, ``findings`` against it; and where the guest is to run on, ``probe``,
    the command line that shows its machine there."""

    xml: str
    bridges: tuple[str, ...]
    findings: list[Finding]
    probe: tuple[str, ...] = ()


def adoption(
    context: BareContext, argv: t.Sequence[str], there: t.Sequence[str], seen: Visible, disks: t.Sequence[MovedDisk]
) -> Adoption:
    """``argv`` is the command line here, ``there`` what it would be on the destination, ``seen`` the machine and ``disks`` all images."""
    subject, live = f"guest {context.name}", context.options.method != OFFLINE
    # One without a UUID gets one now: libvirt knows its domains by it.
    context.uuid = context.uuid or str(uuid_room.uuid4())
    bridges = _bridges(context, argv)
    text = context.source().hmp("info network") if context.monitor is not None else ""
    macs = {nic.netdev: nic.mac for nic in answers.nics_by_text(text) if nic.netdev}
    name = parse(argv).merged("name").get("guest") or context.name
    found = adopt(there, Known(name, context.uuid, sum(seen.memory.values()), macs, bridges))
    xml, problems = found.xml, found.problems
    if live and xml:
        images = {key: disk.path for disk in disks for key in (disk.device, disk.node) if key}
        xml, problems = place(xml, there, seen.tree, images, seen.cpus)
    remedy = f"Move it {'offline, or ' if live else ''}as a process, or take that away from it."
    findings = [
        hard_blocker(
            "ADOPTION_IMPOSSIBLE", subject, f"The guest '{context.name}' cannot become a domain of libvirt: {problem}.", remedy,
        )
        for problem in problems
    ]  # fmt: skip
    facts = context.far.facts(domain=[name, context.uuid, xml, without_cards(xml) if live else ""])["domain"]
    findings += _against(context, facts, live)
    if not live:
        findings.append(
            warning(
                "ADOPTED_PLACES", subject,
                f"As a domain the devices of the guest '{context.name}' have other places on its buses, so it may call its network cards "
                "otherwise; their addresses stay.",
                "Look at its network configuration.",
            )
        )  # fmt: skip
    return Adoption(xml, tuple(sorted(set(bridges.values()))), findings, probe(facts["native"], xml) if live else ())


def _against(context: BareContext, facts: t.Mapping[str, t.Any], live: bool) -> t.Iterator[Finding]:
    """What libvirt there has against it."""
    subject, host = f"guest {context.name}", context.far.host
    if not facts["virsh"]:
        message = f"{host} has no virsh, so there is no libvirt to adopt the guest '{context.name}'."
        yield hard_blocker("ADOPTION_IMPOSSIBLE", f"host {host}", message, "Install libvirt there.")
    elif live and tuple(facts["version"]) < FIRST_VERSION:
        version = ".".join(map(str, facts["version"])) or "of an unknown version"
        message = f"libvirt on {host} is {version}, and takes in no guest that runs, as {FIRST_VERSION[0]}.{FIRST_VERSION[1]} does."
        yield hard_blocker(
            "ADOPTION_IMPOSSIBLE", f"host {host}", message, "Move the guest offline, or update libvirt there."
        )
    for key, code in (("name", "NAME_CONFLICT"), ("uuid", "UUID_CONFLICT")):
        if facts[key]:
            message = f"libvirt on {host} has a domain with the {key} of the guest '{context.name}' already."
            yield hard_blocker(code, subject, message, "Rename or undefine one of the two.")
    if facts["reason"]:
        message = f"libvirt on {host} does not take the guest '{context.name}': {facts['reason']}."
        yield hard_blocker("ADOPTION_IMPOSSIBLE", subject, message, "Remove what it names.")


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
