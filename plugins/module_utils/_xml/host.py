# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What a host can do: libvirt's capabilities and domain capabilities documents."""

from __future__ import annotations

import copy
import dataclasses

from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Machines
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import Element, new_element, parse, render

#: The best first: what a host that offers both is taken for.
_VIRT_TYPES = ("kvm", "hvf", "qemu")


@dataclasses.dataclass(frozen=True)
class Capabilities:
    """The host part of a capabilities document, and the machine types per virt type for guests of the host's own kind."""

    uuid: str
    arch: str
    cpu_model: str | None = None
    cpu_vendor: str | None = None
    emulator: str | None = None
    machines: tuple[Machines, ...] = ()

    @property
    def virt_types(self) -> tuple[str, ...]:
        """The virt types that really exist here, the best first."""
        return tuple(machines.virt_type for machines in self.machines)


@dataclasses.dataclass(frozen=True)
class DomainCapabilities:
    """What one virt type offers: firmwares, the host-model CPU as a custom <cpu>, and the usable named models."""

    firmwares: tuple[str, ...] = ()
    host_model_xml: str = ""
    cpu_models: tuple[str, ...] = ()


def parse_capabilities(xml: str) -> Capabilities:
    """The Capabilities in the document that virConnectGetCapabilities gives."""
    root = parse(xml, "capabilities document")
    arch = root.findtext("host/cpu/arch", "x86_64")
    names: dict[str, list[str]] = {}
    aliases: dict[str, dict[str, str]] = {}
    guests = [
        element
        for element in root.iterfind("guest/arch")
        if element.get("name") == arch and element.getparent().findtext("os_type", "hvm") == "hvm"
    ]
    for guest in guests:
        for domain in guest.iterfind("domain"):
            kind = domain.get("type", "qemu")
            names.setdefault(kind, [])
            aliases.setdefault(kind, {})
            # A virt type that has machine types of its own lists them; otherwise those of the architecture hold.
            for machine in domain.findall("machine") or guest.findall("machine"):
                name, canonical = (machine.text or "").strip(), machine.get("canonical")
                if canonical:
                    aliases[kind][name] = canonical
                for entry in (name, canonical):
                    if entry and entry not in names[kind]:
                        names[kind].append(entry)
    order = sorted(names, key=lambda kind: (_VIRT_TYPES.index(kind) if kind in _VIRT_TYPES else 9, kind))
    machines = tuple(Machines(kind, tuple(sorted(names[kind])), aliases[kind]) for kind in order)
    emulator = next((guest.findtext("emulator") for guest in guests), None)
    return Capabilities(
        uuid=root.findtext("host/uuid", "").strip().lower(),
        arch=arch,
        cpu_model=root.findtext("host/cpu/model"),
        cpu_vendor=root.findtext("host/cpu/vendor"),
        emulator=emulator,
        machines=machines,
    )


def parse_domain_capabilities(xml: str) -> DomainCapabilities:
    """The DomainCapabilities in the document that virConnectGetDomainCapabilities gives."""
    root = parse(xml, "domain capabilities document")
    firmwares = [value.text or "" for value in root.iterfind("os/enum[@name='firmware']/value")]
    arch = root.findtext("arch", "x86_64")
    if arch in ("x86_64", "i686") and "bios" not in firmwares:
        # SeaBIOS comes with QEMU; that no descriptor file announces it says nothing.
        firmwares.append("bios")
    models = [
        (model.text or "").strip()
        for model in root.iterfind("cpu/mode[@name='custom']/model")
        if model.get("usable", "yes") == "yes"
    ]
    return DomainCapabilities(tuple(sorted(firmwares)), _host_model(root), tuple(sorted(models)))


def _host_model(root: Element) -> str:
    mode = root.find("cpu/mode[@name='host-model']")
    if mode is None or mode.get("supported") != "yes" or mode.find("model") is None:
        return ""
    cpu = new_element("cpu", {"mode": "custom", "match": "exact"})
    for child in mode:
        if child.tag in ("model", "vendor", "feature"):
            cpu.append(copy.deepcopy(child))
    return render(cpu)


def model_of(cpu: str) -> str:
    """The model in a <cpu> element; empty where it names none."""
    return parse(cpu, "description of a CPU").findtext("model", "").strip()
