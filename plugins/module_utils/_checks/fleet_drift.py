# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""In what the hosts of a fleet differ that should be alike; and the CPU model that all of them have."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.fit import GENERIC_CPUS, dotted
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host, Network, Pool
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import Baseline, Drift, Member, Variant

#: What is rightly each host's own.
_OWN = ("host_uuid", "listen_addr", "migration_address", "migration_host")
_CONFIGURE = "Give all hosts the same settings."
_UPGRADE = "Upgrade the older hosts: a guest can go to an equal or newer version, and not always back."
_NONE = "-"


def drift_of(members: t.Sequence[Member]) -> tuple[Drift, ...]:
    """All differences. Empty for a fleet of one."""
    if len(members) < 2:
        return ()
    found = [*_versions(members), *_hardware(members), *_user(members), *_storage(members), *_networks(members)]
    return (*found, *_settings(members))


def _compare(
    area: str, subject: str, members: t.Sequence[Member], values: t.Iterable[object], remedy: str
) -> t.Iterator[Drift]:
    hosts: dict[str, list[str]] = {}
    for member, value in zip(members, values):
        hosts.setdefault(str(value), []).append(member.name)
    if len(hosts) > 1:
        ordered = sorted(hosts.items(), key=lambda item: (-len(item[1]), item[0]))
        yield Drift(area, subject, tuple(Variant(text, tuple(names)) for text, names in ordered), remedy)


def _versions(members: t.Sequence[Member]) -> t.Iterator[Drift]:
    yield from _compare("versions", "libvirt", members, [dotted(one.host.libvirt_version) for one in members], _UPGRADE)
    yield from _compare("versions", "QEMU", members, [dotted(one.host.qemu_version) for one in members], _UPGRADE)
    yield from _compare("versions", "daemons", members, map(_daemons, members), _CONFIGURE)


def _daemons(member: Member) -> str:
    # Whether one runs or would start when asked changes by the minute.
    return ", ".join(sorted(member.host.daemons)) or _NONE


def _hardware(members: t.Sequence[Member]) -> t.Iterator[Drift]:
    model = "Give guests the baseline CPU model where they shall go everywhere."
    yield from _compare("CPU", "model", members, [one.host.cpu_model or _NONE for one in members], model)
    yield from _compare("CPU", "vendor", members, [one.host.cpu_vendor or _NONE for one in members], model)
    yield from _compare(
        "CPU", "architecture", members, [one.host.arch for one in members], "Guests of one do not run on the other."
    )
    virt = "Enable hardware virtualisation (firmware setting, kvm module) on all hosts."
    yield from _compare("CPU", "virtualisation", members, [", ".join(one.host.virt_types) for one in members], virt)
    firmware = "Install the same UEFI firmware (package ovmf or edk2-ovmf) on all hosts."
    yield from _compare("machines", "firmware", members, [", ".join(one.host.firmwares) for one in members], firmware)
    machines = sorted({alias for one in members for alias in _aliases(one.host)})
    for alias in machines:
        subject = f"machine type '{alias}' means"
        yield from _compare(
            "machines", subject, members, [_aliases(one.host).get(alias, _NONE) for one in members], _UPGRADE
        )
    pages = "Reserve the same huge pages on all hosts (vm.nr_hugepages)."
    yield from _compare(
        "memory", "huge page sizes", members, [", ".join(sorted(one.host.hugepages)) or _NONE for one in members], pages
    )


def _aliases(host: Host) -> dict[str, str]:
    return dict(host.machine_types(host.virt_types[0]).aliases) if host.virt_types else {}


def _user(members: t.Sequence[Member]) -> t.Iterator[Drift]:
    numbers = "Give QEMU's user and group the same numbers on all hosts, with no guest running."
    yield from _compare(
        "ids", "QEMU's user:group", members, [f"{one.host.qemu_uid}:{one.host.qemu_gid}" for one in members], numbers
    )
    clock = "Let all hosts synchronise their clocks (chrony, systemd-timesyncd)."
    yield from _compare("clocks", "synchronised", members, [one.host.time_synchronized for one in members], clock)


def _storage(members: t.Sequence[Member]) -> t.Iterator[Drift]:
    remedy = "Define the pool alike on all hosts (module virtops.kvm.storage_pool, playbooks/configure_nfs.yml)."
    pools = {one.name: {pool.name: pool for pool in one.host.pools} for one in members}
    for name in sorted({name for known in pools.values() for name in known}):
        yield from _compare("pools", name, members, [_pool(pools[one.name].get(name)) for one in members], remedy)


def _pool(pool: Pool | None) -> str:
    if pool is None:
        return "missing"
    shared = pool.filesystem if pool.filesystem and not pool.filesystem.startswith("local:") else ""
    return ", ".join(word for word in (pool.type, pool.path, shared, _state(pool.active, pool.autostart)) if word)


def _networks(members: t.Sequence[Member]) -> t.Iterator[Drift]:
    remedy = "Define the network alike on all hosts, and let it start by itself (virsh net-autostart)."
    networks = {one.name: {network.name: network for network in one.host.networks} for one in members}
    for name in sorted({name for known in networks.values() for name in known}):
        yield from _compare(
            "networks", name, members, [_network(networks[one.name].get(name)) for one in members], remedy
        )
    bridges = {one.name: set(one.host.bridges) for one in members}
    # A bridge that belongs to a network of libvirt is judged with it.
    owned = {network.bridge for one in members for network in one.host.networks if network.forward != "bridge"}
    for name in sorted({name for known in bridges.values() for name in known} - owned - {None}, key=str):
        make = "Create the bridge by the means of the host's network configuration."
        there = ["present" if name in bridges[one.name] else "missing" for one in members]
        yield from _compare("bridges", str(name), members, there, make)


def _network(network: Network | None) -> str:
    if network is None:
        return "missing"
    return ", ".join([network.forward or "isolated", *network.portgroups, _state(network.active, network.autostart)])


def _state(active: bool, autostart: bool) -> str:
    return ("active" if active else "inactive") + ("" if autostart else ", does not start with the host")


def _settings(members: t.Sequence[Member]) -> t.Iterator[Drift]:
    for key in sorted({key for member in members for key in member.settings}):
        if key.rpartition(" ")[2] not in _OWN:
            yield from _compare(
                "settings", key, members, [one.settings.get(key, "default") for one in members], _CONFIGURE
            )


def baseline_of(
    members: t.Sequence[Member], named_by_libvirt: t.Mapping[str, str], domains: t.Sequence[str]
) -> Baseline:
    """The CPU that all hosts have: libvirt's where it reckoned one, else the best that can be told of those that every host lists."""
    kind = "kvm" if members and all("kvm" in one.host.virt_types for one in members) else "qemu"
    lists = [set(one.host.cpu_models.get(kind, ())) for one in members]
    shared = tuple(sorted(set.intersection(*lists) - set(GENERIC_CPUS))) if lists and all(lists) else ()
    model = named_by_libvirt.get("model", "")
    if model:
        return Baseline(model, named_by_libvirt.get("xml", ""), True, shared, tuple(domains))
    own = sorted({one.host.cpu_model for one in members if one.host.cpu_model in shared}, key=str)
    return Baseline(_best(shared, own), "", False, shared, tuple(domains))


def _best(models: t.Sequence[str], own: t.Sequence[str | None]) -> str:
    """Names do not tell which model is the better one. The one that comes closest to some host's own CPU and that all others have is,
    and of the levels that the makers agreed on the highest."""
    if len(own) == 1 and own[0]:
        return own[0]
    levels = [name for name in models if name.startswith("x86-64-v")]
    return max(levels, default=models[0] if len(models) == 1 else "")
