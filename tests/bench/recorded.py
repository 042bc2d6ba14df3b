# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of a fleet as fleet_member_info records them, made up: of three makes of CPU, two versions, shared
and local disks, and some faults."""

from __future__ import annotations

import random
import typing as t
import uuid

GIB = 1024**3
IMAGES, SHARED = "/var/lib/libvirt/images", "/srv/shared"
NFS = "nfs:192.0.2.5:/export"
NOW = 1_800_000_000.0
_GENERIC = ["kvm64", "qemu64"]
#: Name, maker, and the models that a guest may have.
MAKES = (
    ("Skylake-Server", "Intel", [*_GENERIC, "Nehalem", "SandyBridge", "Haswell", "Skylake-Server"]),
    (
        "Cascadelake-Server",
        "Intel",
        [*_GENERIC, "Nehalem", "SandyBridge", "Haswell", "Skylake-Server", "Cascadelake-Server"],
    ),
    ("EPYC-Rome", "AMD", [*_GENERIC, "Opteron_G3", "EPYC", "EPYC-Rome"]),
)


def fleet(
    hosts: int = 100, domains: int = 2000, *, faults: bool = True, alike: bool = False, seed: int = 7
) -> list[dict[str, t.Any]]:
    """The members of a fleet, each with its part of the domains; the same arguments give the same facts."""
    dice = random.Random(seed)
    names = [f"kvm{number:03}" for number in range(1, hosts + 1)]
    members = [_member(names, at, domains // hosts + (at < domains % hosts), dice, alike) for at in range(hosts)]
    if faults:
        _break(members)
    return members


def _member(names: list[str], at: int, count: int, dice: random.Random, alike: bool) -> dict[str, t.Any]:
    name = names[at]
    share = 0.0 if alike else at / len(names)
    make = MAKES[0 if share < 0.6 else 1 if share < 0.9 else 2]
    newer = share >= 0.5
    machine = "pc-q35-10.0" if newer else "pc-q35-7.2"
    guests = [_domain(f"{name}-vm{number:02}", make[0], machine, dice) for number in range(count)]
    active = [guest for guest in guests if guest["state"] == "running"]
    host = {
        "hostname": f"{name}.example.com",
        "uuid": _uuid(f"host {name}"),
        "libvirt_version": 11003000 if newer else 9000000,
        "qemu_version": 10000003 if newer else 7002009,
        "arch": "x86_64",
        "host_cpu_xml": f"<cpu mode='custom'><model>{make[0]}</model></cpu>",
        "cpu_model": make[0],
        "cpu_vendor": make[1],
        "cpu_models": {"kvm": sorted(make[2]), "qemu": sorted(make[2])},
        "cpus": 64,
        "memory_total": 512 * GIB,
        "memory_free": 512 * GIB - sum(guest["memory_max"] for guest in active),
        "memory_domains": sum(guest["memory_max"] for guest in active),
        "vcpus_domains": sum(guest["vcpus"] for guest in active),
        "virt_types": ["kvm", "qemu"],
        "machines": [
            {"virt_type": kind, "names": sorted({"q35", "pc-q35-7.2", machine}), "aliases": {"q35": machine}}
            for kind in ("kvm", "qemu")
        ],
        "firmwares": ["bios", "efi"],
        "pools": [
            _pool("default", "dir", IMAGES, f"local:{name}", shared=False),
            _pool("shared", "netfs", SHARED, NFS, shared=True),
        ],
        "networks": [{"name": "lab", "active": True, "autostart": True, "forward": "bridge", "bridge": "br0"}],
        "bridges": ["br0"],
        "daemons": {"virtqemud": "running"} if newer else {"libvirtd": "running"},
        "tls": True,
        "time": NOW,
        "time_synchronized": True,
        "qemu_uid": 64055,
        "qemu_gid": 64055,
        "reachability": [
            {"peer": other, "address": other, "port": port, "result": "open" if port == 22 else "refused"}
            for other in names
            if other != name
            for port in (22, 49215)
        ],
    }
    return {
        "name": name,
        "host": host,
        "domains": guests,
        "settings": {"qemu.conf: max_core": "0"},
        "certificates": [
            {
                "purpose": "migration",
                "path": "/etc/pki/qemu/server-cert.pem",
                "subject": name,
                "issuer": "fleet",
                "not_before": NOW - 9e6,
                "not_after": NOW + 9e6,
                "authorities": ["ab" * 32],
            }
        ],
        "controls": [
            {"peer": other, "uri": f"qemu+tls://{other}/system", "opened": True} for other in names if other != name
        ],
        "not_before": NOW - 5,
        "not_after": NOW + 5,
    }


def _domain(name: str, model: str, machine: str, dice: random.Random) -> dict[str, t.Any]:
    memory = dice.choice((1, 2, 2, 4, 4, 8)) * GIB
    shared = dice.random() < 0.6
    folder, filesystem = (SHARED, NFS) if shared else (IMAGES, "local:here")
    cpu = dice.choice(
        ({"mode": "custom", "model": "Nehalem"}, {"mode": "custom", "model": model}, {"mode": "custom", "model": model})
    )
    if dice.random() < 0.03:
        cpu = {"mode": "host-passthrough", "model": None}
    return {
        "name": name,
        "uuid": _uuid(name),
        "state": "running" if dice.random() < 0.9 else "shutoff",
        "machine": machine,
        "memory": memory,
        "memory_max": memory,
        "vcpus": dice.choice((1, 2, 4)),
        "cpu": cpu if model != "EPYC-Rome" or cpu["model"] != "Nehalem" else {"mode": "custom", "model": "EPYC"},
        "firmware": {"type": "efi" if dice.random() < 0.3 else "bios"},
        "disks": [
            {
                "target": "vda",
                "type": "file",
                "source": f"{folder}/{name}.qcow2",
                "format": "qcow2",
                "virtual_size": 20 * GIB,
                "allocated": 6 * GIB,
                "shared": shared,
                "filesystem": filesystem,
            }
        ],
        "nics": [{"mac": "52:54:00:00:00:01", "type": "network", "source": "lab"}],
        "host_devices": [{"type": "pci", "address": "0000:65:00.0"}] if dice.random() < 0.005 else [],
        "snapshots": ["before"] if dice.random() < 0.02 else [],
    }


def _break(members: list[dict[str, t.Any]]) -> None:
    """A closed port, a cloned host, other ids, an expired certificate, a missing pool, a cordon: each on one host."""
    closed, clone, ids, expired, poolless, cordoned = (members[at * len(members) // 7] for at in range(1, 7))
    for member in members:
        for probe in member["host"]["reachability"]:
            if probe["peer"] == closed["name"] and probe["port"] != 22:
                probe["result"] = "timeout"
    clone["host"]["uuid"] = members[0]["host"]["uuid"]
    ids["host"].update(qemu_uid=107, qemu_gid=107)
    expired["certificates"][0].update(not_after=NOW - 86400, problem="expired", detail="certificate has expired")
    poolless["host"]["pools"] = poolless["host"]["pools"][1:]
    cordoned["host"].update(cordoned=True, cordon_reason="new fan")
    closed["settings"]["qemu.conf: max_core"] = "unlimited"


def _pool(name: str, kind: str, path: str, filesystem: str, *, shared: bool) -> dict[str, t.Any]:
    return {
        "name": name,
        "type": kind,
        "path": path,
        "active": True,
        "autostart": True,
        "capacity": 8000 * GIB,
        "available": 6000 * GIB,
        "shared": shared,
        "filesystem": filesystem,
    }


def _uuid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
