# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Whether a host can run a domain that now runs elsewhere: pure predicates that planner and checker share.

Each takes a Pair and yields a Finding for what does not fit. Memory and disk space are in ``room``.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker, hard_blocker, warning
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import PROCESS, Disk, Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host

#: CPU models that any x86 vendor's host can run.
GENERIC_CPUS = ("qemu32", "qemu64", "kvm32", "kvm64", "pentium", "pentium2", "pentium3", "486")
_DISK_TYPES = ("file", "block", "network", "volume")


@dataclasses.dataclass(frozen=True)
class Pair:
    """One domain, the host it is on and the host it would go to, with the names people know the hosts by.

    ``networks`` and ``bridges`` map names on the source to names on the destination.
    """

    domain: Domain
    source: Host
    destination: Host
    source_name: str
    destination_name: str
    networks: dict[str, str] = dataclasses.field(default_factory=dict)
    bridges: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def move(self) -> str:
        """How messages begin."""
        return f"Cannot move {self.domain.noun} '{self.domain.name}' from {self.source_name} to {self.destination_name}"

    @property
    def about(self) -> str:
        """How warnings begin."""
        return f"Moving {self.domain.noun} '{self.domain.name}' from {self.source_name} to {self.destination_name}"


Fit = t.Callable[[Pair], t.Iterable[Finding]]


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


def fit_devices(pair: Pair) -> t.Iterator[Finding]:
    """Devices and records that tie a running guest to its host, whatever the destination."""
    domain = pair.domain
    if domain.kind == PROCESS:
        yield from _process(pair)
        return
    held = [f"{device.type} {device.address}" for device in domain.host_devices if not device.migratable]
    held += [f"{nic.type} interface {nic.mac}" for nic in domain.nics if nic.type in ("hostdev", "vdpa")]
    if held:
        yield hard_blocker(
            "HOST_DEVICE",
            domain.name,
            f"{pair.move}: it holds devices of its host ({', '.join(held)}).",
            "Detach them before the move, or shut the guest off and move it then.",
            devices=held,
        )
    if domain.filesystems:
        yield blocker(
            "FILESYSTEM_DEVICE",
            domain.name,
            f"{pair.move}: directories of its host are passed to it ({', '.join(domain.filesystems)}).",
            "Unmount and detach them in the guest before the move.",
            filesystems=list(domain.filesystems),
        )
    if domain.obstacles:
        yield blocker(
            "METHOD_UNSUITABLE",
            domain.name,
            f"{pair.move}: its definition has what cannot move while it runs ({'; '.join(domain.obstacles)}).",
            "Shut the guest off and move it then, or change its definition.",
            obstacles=list(domain.obstacles),
        )
    transient = [disk.target for disk in domain.disks if disk.transient]
    if transient:
        yield blocker(
            "TRANSIENT_DISK",
            domain.name,
            f"{pair.move}: its disks {', '.join(transient)} are transient, and libvirt cannot move what it will "
            "throw away.",
            "Shut the guest off and move it then, or make the disks permanent.",
            disks=transient,
        )
    yield from _disk_types(pair)


def _process(pair: Pair) -> t.Iterator[Finding]:
    """What keeps a guest process from moving, and nobody may accept."""
    for why in pair.domain.ties:
        yield hard_blocker(
            "METHOD_UNSUITABLE",
            pair.domain.name,
            f"{pair.move}: {why}.",
            "Remove that, or leave the guest process where it is.",
            tie=why,
        )
    for obstacle in pair.domain.obstacles:
        yield hard_blocker(
            "METHOD_UNSUITABLE",
            pair.domain.name,
            f"{pair.move}: {obstacle}.",
            "Remove that, shut the guest off and move it then, or leave it where it is.",
            obstacles=[obstacle],
        )


def _disk_types(pair: Pair) -> t.Iterator[Finding]:
    for disk in pair.domain.disks:
        if disk.copyable and (disk.type not in _DISK_TYPES or (disk.type == "volume" and disk.shared is not True)):
            yield blocker(
                "DISK_TYPE_UNSUPPORTED",
                disk.target,
                f"{pair.move}: disk {disk.target} is of type '{disk.type}' ({_source(disk)}), whose content "
                "cannot be moved.",
                "Put the content on a file or a block device, or on storage that both hosts share.",
                disk=disk.target,
                type=disk.type,
            )


def _source(disk: Disk) -> str:
    return disk.source or f"{disk.pool}/{disk.volume}"


def fit_records(pair: Pair) -> t.Iterator[Finding]:
    """Snapshots, checkpoints and running jobs."""
    domain = pair.domain
    if domain.snapshots:
        yield blocker(
            "SNAPSHOTS_PRESENT",
            domain.name,
            f"{pair.move}: it has {len(domain.snapshots)} snapshot(s), and libvirt does not move a running domain "
            "with snapshots.",
            "Delete the snapshots that are no longer needed (virsh snapshot-delete), then move it.",
            snapshots=list(domain.snapshots),
        )
    if domain.checkpoints:
        yield warning(
            "CHECKPOINTS_PRESENT",
            domain.name,
            f"{pair.about}: its {len(domain.checkpoints)} checkpoint(s) can be carried only with qcow2 disks; "
            "where they are lost the next backup has to be a full one.",
            "Plan a full backup after the move.",
            checkpoints=list(domain.checkpoints),
        )
    running = [domain.job.operation or domain.job.type] if domain.job else []
    running += [f"block job on {target}" for target in domain.block_jobs]
    if running:
        yield blocker(
            "JOB_RUNNING",
            domain.name,
            f"{pair.move}: libvirt is busy with it ({', '.join(running)}).",
            "Wait until the job is done, or abort it (virsh domjobabort, virsh blockjob --abort).",
            jobs=running,
        )


#: What ties a domain down wherever it would go, and what depends on the host it would go to.
ANYWHERE: tuple[Fit, ...] = (fit_devices, fit_records)
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
