# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's network: one namespace with one bridge, and a namespace per host that is plugged into it.

    controller namespace vkl-NAME:  bridge `lan` 10.77.x.1/24
    host namespace vkl-NAME-kvm1:   br0 10.77.x.11/24 with port eth0 <-> port `kvm1` of `lan`

Nothing leads out of it and nothing of the machine's own network is touched.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from .shell import run
from .state import State

FIRST_HOST = 10
FIRST_GUEST = 101


def netns_of(lab: str, host: str | None = None) -> str:
    return f"vkl-{lab}" if host is None else f"vkl-{lab}-{host}"


def subnet_of(lab: str) -> str:
    """The first three bytes of the lab's addresses; isolated, so two labs with the same ones do no harm."""
    return f"10.77.{zlib.crc32(lab.encode()) % 250 + 1}"


def host_address(lab: str, number: int) -> str:
    return f"{subnet_of(lab)}.{FIRST_HOST + number}"


def guest_address(lab: str, number: int) -> str:
    return f"{subnet_of(lab)}.{FIRST_GUEST + number}"


def mac(lab: str, number: int) -> str:
    third = int(subnet_of(lab).rsplit(".", 1)[1])
    return f"52:54:00:{third:02x}:{number // 256:02x}:{number % 256:02x}"


def exists(namespace: str) -> bool:
    return (Path("/run/netns") / namespace).exists()


def has_link(namespace: str, link: str) -> bool:
    return run(["ip", "-n", namespace, "link", "show", link], check=False).returncode == 0


def batch(namespace: str, text: str) -> None:
    run(["ip", "-n", namespace, "-batch", "-"], stdin=text)


def make_lan(state: State, lab: str) -> None:
    """The controller's namespace with the bridge that all hosts are plugged into."""
    space = netns_of(lab)
    state.record("netns", space)
    if not exists(space):
        run(["ip", "netns", "add", space])
    if not has_link(space, "lan"):
        batch(space, "link add name lan type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n")
    batch(
        space,
        f"link set lo up\nlink set lan up\naddress replace {subnet_of(lab)}.1/24 dev lan\n",
    )


def plug_host(state: State, lab: str, host: str, number: int, own_kernel: bool = False) -> None:
    """A host's namespace: br0 with the host's address, eth0 as its port, the other end in the lab's bridge.

    A host with a kernel of its own has that br0 and eth0 inside: here is only its cable, from eth0 through br0 to the
    device `lan0` of its QEMU, and the way in that only the lab uses, `way0`.
    """
    space, lan = netns_of(lab, host), netns_of(lab)
    state.record("netns", space)
    if not exists(space):
        run(["ip", "netns", "add", space])
    if not has_link(space, "br0"):
        batch(
            space,
            "link add name br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n"
            # That of the host's own br0 it must not have: what is for the host would end here.
            f"link set br0 address {mac(lab, (0xFD00 if own_kernel else 0xFF00) + number)}\n",
        )
    if not has_link(space, "eth0"):
        if has_link(lan, host):
            run(["ip", "-n", lan, "link", "delete", host])
        run(
            ["ip", "-n", lan, "link", "add", "name", host, "type", "veth", "peer", "name", "eth0", "netns", space],
        )
    batch(lan, f"link set {host} master lan\nlink set {host} up\n")
    batch(space, "link set lo up\nlink set eth0 master br0\nlink set eth0 up\nlink set br0 up\n")
    if not own_kernel:
        batch(space, f"address replace {host_address(lab, number)}/24 dev br0\n")
        return
    for tap in ("lan0", "way0"):
        if not has_link(space, tap):
            run(["ip", "-n", space, "tuntap", "add", "mode", "tap", "name", tap])
    batch(
        space,
        "link set lan0 master br0\nlink set lan0 up\nlink set way0 up\naddress replace 192.0.2.1/24 dev way0\n",
    )
