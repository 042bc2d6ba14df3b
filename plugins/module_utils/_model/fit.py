# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Whether a host can run a domain that now runs elsewhere: pure predicates that planner and checker share.

Each takes a Pair and yields a Finding for what does not fit. Memory and disk space are in ``room``, what ties it down anywhere in ``ties``.
"""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker, warning
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host
from ansible_collections.virtops.kvm.plugins.module_utils._model.pair import Fit, Pair

#: CPU models that any x86 vendor's host can run.
GENERIC_CPUS = ("qemu32", "qemu64", "kvm32", "kvm64", "pentium", "pentium2", "pentium3", "486")


def fit_identity(pair: Pair) -> t.Iterator[Finding]:
    """The two ends must be two hosts, and the destination must take guests."""
    if pair.source.uuid and pair.source.uuid == pair.destination.uuid:
        yield blocker(
            "SAME_HOST",
            pair.destination_name,
            f"{pair.move}: both report the host UUID {pair.source.uuid}, so libvirt takes them for one host.",
            "Choose another destination; where they are two machines (clones), give each its own host_uuid in "
            "libvirtd.conf.",
            uuid=pair.source.uuid,
        )
    if pair.destination.cordoned:
        reason = pair.destination.cordon_reason
        yield blocker(
            "CORDONED",
            pair.destination_name,
            f"{pair.move}: {pair.destination_name} is cordoned{f' ({reason})' if reason else ''}.",
            "Choose another destination, or uncordon it with host_cordon.",
            reason=reason,
        )


def fit_architecture(pair: Pair) -> t.Iterator[Finding]:
    """The destination must offer the domain's architecture, virtualisation type and machine type."""
    domain, destination = pair.domain, pair.destination
    if domain.arch != destination.arch:
        yield blocker(
            "ARCH_MISMATCH",
            pair.destination_name,
            f"{pair.move}: the guest is {domain.arch} and the destination is {destination.arch}.",
            f"Choose a destination of architecture {domain.arch}.",
            guest=domain.arch,
            host=destination.arch,
        )
        return
    if domain.virt_type not in destination.virt_types:
        yield blocker(
            "VIRT_TYPE_UNSUPPORTED",
            pair.destination_name,
            f"{pair.move}: the destination offers no virtualisation of type '{domain.virt_type}'.",
            "Choose another destination, or enable hardware virtualisation there (firmware setting, kvm module).",
            wanted=domain.virt_type,
            offered=list(destination.virt_types),
        )
        return
    machines = destination.machine_types(domain.virt_type)
    if domain.machine and domain.machine not in machines.names and domain.machine not in machines.aliases:
        yield blocker(
            "MACHINE_UNSUPPORTED",
            pair.destination_name,
            f"{pair.move}: the destination's QEMU does not know the machine type '{domain.machine}'.",
            "Choose a destination with a QEMU that offers this machine type; usually that is one at least as new.",
            machine=domain.machine,
        )


def fit_firmware(pair: Pair) -> t.Iterator[Finding]:
    """A UEFI guest needs UEFI firmware there, and the very loader file where the host names its loaders."""
    firmware, offered = pair.domain.firmware, pair.destination.firmwares
    if firmware.type != "efi":
        return
    loaders = [name for name in offered if name.startswith("/")]
    missing = firmware.loader not in loaders if firmware.loader and loaders else not offered or "efi" not in offered
    if missing and not (loaders and not firmware.loader):
        yield blocker(
            "FIRMWARE_MISSING",
            pair.destination_name,
            f"{pair.move}: the guest boots with UEFI ({firmware.loader or 'chosen by libvirt'}), which the "
            "destination does not offer.",
            "Install the same UEFI firmware (package ovmf or edk2-ovmf) on the destination.",
            loader=firmware.loader,
            offered=list(offered),
        )


def fit_cpu(pair: Pair) -> t.Iterator[Finding]:
    """What host facts alone tell of the CPU; libvirt's own comparison is the checker's."""
    cpu, source, destination = pair.domain.cpu, pair.source, pair.destination
    kvm = pair.domain.virt_type == "kvm" and bool(source.cpu_vendor and destination.cpu_vendor)
    generic = cpu.model in GENERIC_CPUS or (cpu.model or "").startswith("x86-64-v")
    same_vendor = source.cpu_vendor == destination.cpu_vendor
    if kvm and cpu.mode == "host-passthrough" and not (same_vendor and source.cpu_model == destination.cpu_model):
        cause = f"its CPU is passed through, and the destination's {destination.cpu_model} is not {source.cpu_model}"
    elif cpu.mode == "custom" and _offers(source, pair, False) and not _offers(destination, pair, True):
        cause = f"the destination does not offer the CPU model '{cpu.model}'"
    elif kvm and not same_vendor and not generic:
        cause = f"the destination's CPU is made by {destination.cpu_vendor}, the source's by {source.cpu_vendor}"
    else:
        return
    yield blocker(
        "CPU_INCOMPATIBLE",
        pair.destination_name,
        f"{pair.move}: {cause}.",
        "Choose another destination, or give the domain a CPU model that both hosts support.",
        mode=cpu.mode,
        model=cpu.model,
        source=source.cpu_model,
        destination=destination.cpu_model,
    )


def _offers(host: Host, pair: Pair, unknown: bool) -> bool:
    """Whether ``host`` lists the guest's CPU model as usable, ``unknown`` where it lists none. A model that the source
    does not list itself (a host-model with features taken away) says nothing of the destination."""
    models = host.cpu_models.get(pair.domain.virt_type, ())
    return pair.domain.cpu.model in models if models else unknown


def fit_networks(pair: Pair) -> t.Iterator[Finding]:
    """Every libvirt network must exist and be active there, every bridge must exist."""
    networks = {network.name: network for network in pair.destination.networks}
    seen: set[tuple[str, str]] = set()
    for nic in pair.domain.nics:
        if not nic.source or (nic.type, nic.source) in seen:
            continue
        seen.add((nic.type, nic.source))
        if nic.type == "network":
            yield from _network(pair, pair.networks.get(nic.source, nic.source), networks)
        elif nic.type == "bridge":
            bridge = pair.bridges.get(nic.source, nic.source)
            if bridge not in pair.destination.bridges:
                yield blocker(
                    "BRIDGE_MISSING",
                    pair.destination_name,
                    f"{pair.move}: the destination has no bridge '{bridge}'.",
                    "Create the bridge there, or name another one in mapping.bridges.",
                    bridge=bridge,
                )


def _network(pair: Pair, name: str, networks: dict[str, t.Any]) -> t.Iterator[Finding]:
    if name not in networks:
        yield blocker(
            "NETWORK_MISSING",
            pair.destination_name,
            f"{pair.move}: the destination has no libvirt network '{name}'.",
            "Define the network there, or name another one in mapping.networks.",
            network=name,
            present=sorted(networks),
        )
    elif not networks[name].active:
        yield blocker(
            "NETWORK_INACTIVE",
            pair.destination_name,
            f"{pair.move}: the libvirt network '{name}' exists there and is not active.",
            f"Start it on {pair.destination_name} (virsh net-start {name}), and let it start by itself "
            "(net-autostart).",
            network=name,
        )


def fit_versions(pair: Pair) -> t.Iterator[Finding]:
    """Migration is promised to an equal or newer QEMU and libvirt. Releases of one minor version count as equal."""
    source, destination = pair.source, pair.destination
    if 0 < destination.qemu_version // 1000 < source.qemu_version // 1000:
        yield blocker(
            "QEMU_OLDER",
            pair.destination_name,
            f"{pair.move}: the destination's QEMU {dotted(destination.qemu_version)} is older than the source's "
            f"{dotted(source.qemu_version)}, and QEMU does not promise to take its state.",
            "Upgrade QEMU on the destination, or choose a newer one.",
            source=dotted(source.qemu_version),
            destination=dotted(destination.qemu_version),
        )
    if 0 < destination.libvirt_version // 1000 < source.libvirt_version // 1000:
        yield warning(
            "LIBVIRT_OLDER",
            pair.destination_name,
            f"{pair.about}: the destination's libvirt {dotted(destination.libvirt_version)} is older than the "
            "source's "
            f"{dotted(source.libvirt_version)}, and may not know everything in the definition.",
            "Upgrade libvirt on the destination when something of the definition is refused.",
            source=dotted(source.libvirt_version),
            destination=dotted(destination.libvirt_version),
        )


def dotted(version: int) -> str:
    """libvirt's version number (major * 1000000 + minor * 1000 + release) for people."""
    return f"{version // 1000000}.{version // 1000 % 1000}.{version % 1000}"


#: What depends on the host that a domain would go to; what ties it down wherever it would go is in ``ties``.
THERE: tuple[Fit, ...] = (fit_identity, fit_architecture, fit_firmware, fit_cpu, fit_networks, fit_versions)
#: The facts of a host that all of THERE but fit_identity ask for: hosts that are equal in them get the same answers.
KIND = (
    "arch",
    "virt_types",
    "machines",
    "firmwares",
    "cpu_model",
    "cpu_vendor",
    "cpu_models",
    "networks",
    "bridges",
    "qemu_version",
    "libvirt_version",
)
