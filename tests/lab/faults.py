# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with a fleet, on purpose: links, bandwidth, disks, daemons, processes, firewalls, power."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import network
from .host import BECOME, IMAGES, Host
from .shell import LabError, run, wait_for
from .state import alive, kill_process
from .vm.host import VmHost

if TYPE_CHECKING:
    from .guest.guest import Guest
    from .lab import Lab

DAEMON = "libvirtd"
SOCKETS = ("libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket")
STAY_DOWN = "/run/systemd/system/libvirtd.service.d/lab-stay-down.conf"
MIGRATION_PORTS = "49152-49215"
FILLER = ".lab-fill"
ROOT = Path(__file__).resolve().parents[2]
SIGNALS = {"kill": "KILL", "stop": "STOP", "cont": "CONT"}


@functools.cache
def has_netem(namespace: str) -> bool:
    """Whether the running kernel can delay packets; asked by doing it."""
    run(["ip", "-n", namespace, "link", "add", "probe0", "type", "dummy"], check=False)
    done = run(["tc", "-n", namespace, "qdisc", "add", "dev", "probe0", "root", "netem", "delay", "1ms"], check=False)
    run(["ip", "-n", namespace, "link", "delete", "probe0"], check=False)
    return done.returncode == 0


def tbf(mbit: float) -> list[str]:
    burst = max(128 << 10, int(mbit * 1e6 / 8 / 50))
    return ["tbf", "rate", f"{mbit}mbit", "burst", str(burst), "latency", "50ms"]


class Faults:
    """Faults of one lab: `lab.fault`. Hosts are given by name; every fault has its end, and `clear` ends all."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def _ends(self, host: Host) -> list[tuple[str, str]]:
        """Both ends of a host's cable: (namespace, device); shaping egress of both shapes both directions."""
        return [(network.netns_of(self.lab.name), host.name), (host.netns, "eth0")]

    # ---- links ----

    def link(self, host: str, up: bool) -> None:
        """Pull or plug a host's cable; the host sees its carrier go."""
        place = self.lab.host(host)
        if isinstance(place, VmHost):
            place.carrier(up)
        run(
            [
                "ip",
                "-n",
                network.netns_of(self.lab.name),
                "link",
                "set",
                place.name,
                "up" if up else "down",
            ]
        )

    def shape(self, host: str, mbit: float | None = None, delay_ms: float | None = None) -> None:
        """Limit a host's link to a rate and delay it, each in both directions; replaces what was set before."""
        self.unshape(host)
        place = self.lab.host(host)
        netem = bool(delay_ms) and has_netem(network.netns_of(self.lab.name))
        for namespace, device in self._ends(place):
            words = ["tc", "-n", namespace, "qdisc", "replace", "dev", device, "root"]
            if netem:
                rate = ["rate", f"{mbit}mbit"] if mbit else []
                run([*words, "netem", "delay", f"{delay_ms}ms", "limit", "20000", *rate])
            elif mbit:
                run([*words, *tbf(mbit)])
        if delay_ms and not netem:
            self._start_delay_line(place, delay_ms)

    def unshape(self, host: str) -> None:
        place = self.lab.host(host)
        self._stop_delay_line(place)
        for namespace, device in self._ends(place):
            run(["tc", "-n", namespace, "qdisc", "delete", "dev", device, "root"], check=False)

    def _delay_file(self, host: Host) -> Path:
        return self.lab.directory / f"{host.name}-delay.stat"

    def _start_delay_line(self, host: Host, delay_ms: float) -> None:
        """Without netem: a relay of our own between the host's port and the bridge holds every frame for a while."""
        lan, inner, outer = network.netns_of(self.lab.name), f"{host.name}i", f"{host.name}o"
        network.batch(
            lan,
            f"link add name {inner} type veth peer name {outer}\nlink set {outer} master lan\n"
            f"link set {inner} up\nlink set {outer} up\nlink set {host.name} nomaster\n",
        )
        for device in (inner, outer, host.name):
            run(["ip", "netns", "exec", lan, "ethtool", "-K", device, "gro", "off"], check=False)
        file = self._delay_file(host)
        self.lab.state.record("process", str(file))
        words = [sys.executable, "-m", "tests.lab.delayline", lan, host.name, inner, str(delay_ms)]
        with (self.lab.directory / f"{host.name}-delay.log").open("wb") as log:
            subprocess.Popen(
                ["sh", "-c", BECOME, str(file), *words],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait_for(f"the delay line of {host.name}", lambda: alive(file) is not None, 30, 0.05)

    def _stop_delay_line(self, host: Host) -> None:
        lan, inner = network.netns_of(self.lab.name), f"{host.name}i"
        kill_process(self._delay_file(host))
        if network.has_link(lan, inner):
            network.batch(lan, f"link delete {inner}\nlink set {host.name} master lan\n")

    # ---- disks ----

    def fill(self, host: str, leave_mib: int = 1) -> None:
        """Leave only so much free in a host's image pool; takes no space on this machine's own disk."""
        place = self.lab.host(host)
        self.unfill(host)
        filler, filled = f"{IMAGES}/{FILLER}", 0
        # A copy that runs takes some of it between a look and the deed: then less is tried, and the rest after it.
        for margin in (0, 0, 1, 2, 4, 8, 16, 32, 0, 0, 1, 2, 4, 8, 0, 0, 1, 2, 4, 0, 0):
            free = int(place.run(["df", "--output=avail", "-B1", IMAGES]).stdout.split()[-1]) - (leave_mib << 20)
            if free <= 0:
                return
            size = free - (margin << 20)
            more = ["fallocate", "-o", str(filled), "-l", str(size), filler]
            if size > 0 and not place.run(more, check=False).returncode and margin == 0:
                return
            # One that fails may have taken a part.
            blocks = place.run(["stat", "-c", "%b", filler], check=False).stdout
            filled = int(blocks or 0) * 512
        raise LabError(
            f"the image pool of {host} does not become full: there are {free} bytes more than there should be"
        )

    def unfill(self, host: str) -> None:
        place = self.lab.host(host)
        if not isinstance(place, VmHost):
            (place.images / FILLER).unlink(missing_ok=True)  # also while it is off
        elif place.leader() is not None:
            place.run(["rm", "-f", f"{IMAGES}/{FILLER}"])

    # ---- processes ----

    def daemon(self, host: str, action: str) -> None:
        """libvirtd of a host: `kill` (-9; systemd starts it again as on any host), `stop` (SIGSTOP), `cont`, `restart`,
        `down` (kill -9 and nothing starts it again) or `up`."""
        place = self.lab.host(host)
        if action in SIGNALS:
            if action != "cont":
                place.run(["systemctl", "start", DAEMON])  # it ends by itself when nobody talks to it
            place.run(["systemctl", "kill", "--kill-whom=main", f"--signal={SIGNALS[action]}", DAEMON])
        elif action == "restart":
            place.run(["systemctl", "restart", DAEMON])
        elif action == "down":
            place.run(["mkdir", "-p", STAY_DOWN.rpartition("/")[0]])
            place.write(STAY_DOWN, "[Service]\nRestart=no\n")
            place.run(["systemctl", "daemon-reload"])
            place.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", DAEMON], check=False)
            place.run(["systemctl", "stop", *SOCKETS, DAEMON])
        elif action == "up":
            place.run(["rm", "-f", STAY_DOWN])
            place.run(["systemctl", "daemon-reload"])
            place.run(["systemctl", "reset-failed", DAEMON], check=False)
            place.run(["systemctl", "start", *SOCKETS, DAEMON])
            place.wait_healthy()
        else:
            raise LabError(f"daemon: unknown action {action}; there are kill, stop, cont, restart, down, up")

    def qemu(self, guest: Guest, host: str, action: str) -> None:
        """One guest's QEMU on a host: `kill` (-9), `stop` (SIGSTOP) or `cont`."""
        place = self.lab.host(host)
        pid = guest.qemu_pid(place)
        if pid is None or action not in SIGNALS:
            raise LabError(
                f"{action}: guest {guest.name} has no QEMU on {host}, or that is no action (kill, stop, cont)"
            )
        place.run(["kill", f"-{SIGNALS[action]}", str(pid)])

    # ---- firewall ----

    def close(self, host: str, ports: str = MIGRATION_PORTS, protocol: str = "tcp") -> None:
        """Drop what comes in for these ports (`22`, `49152-49215`, `22,16509`); adds to what is closed already."""
        if not re.fullmatch(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*", ports) or protocol not in ("tcp", "udp"):
            raise LabError(f"close: {ports}/{protocol} are no ports")
        rules = (
            "add table inet lab_faults\n"
            "add chain inet lab_faults input { type filter hook input priority -10; policy accept; }\n"
            f"add rule inet lab_faults input iifname br0 {protocol} dport {{ {ports} }} drop\n"
        )
        self.lab.host(host).run(["nft", "-f", "-"], input=rules)

    def open(self, host: str) -> None:
        """Take away everything that `close` put there."""
        self.lab.host(host).run(["nft", "delete", "table", "inet", "lab_faults"], check=False)

    # ---- power ----

    def power(self, host: str, on: bool, wait: bool = True) -> None:
        """Pull a host's power, or give it back with its storage as it was."""
        place = self.lab.host(host)
        self.link(host, on)
        if not on:
            place.power_off()
            return
        place.boot(self.lab.state, bool(self.lab.state.facts.get("kvm")))
        if wait:
            place.wait_healthy()
            self.open(host)

    def clear(self, host: str | None = None) -> None:
        """End all faults of a host, or of all hosts; hosts without power get it back."""
        for place in [self.lab.host(host)] if host else [*self.lab.hosts, *self.lab.servers]:
            self.unshape(place.name)
            self.link(place.name, True)
            self.unfill(place.name)
            if place.leader() is None:
                self.power(place.name, True)
                continue
            self.open(place.name)
            if place.role == "storage":
                continue
            place.run(["systemctl", "kill", "--kill-whom=main", "--signal=CONT", DAEMON], check=False)
            if place.run(["test", "-e", STAY_DOWN], check=False).returncode == 0:
                self.daemon(place.name, "up")
            place.run(["sh", "-c", "cat /run/libvirt/qemu/*.pid 2>/dev/null | xargs -r kill -CONT"], check=False)
            place.wait_healthy()
