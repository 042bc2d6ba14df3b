# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host without any: its files are a small tree, its daemons and their start times are in memory."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._host.daemons import Step, Unit
from ansible_collections.virtops.kvm.plugins.module_utils._host.files import Files
from ansible_collections.virtops.kvm.plugins.module_utils._host.hostcert import Readers
from ansible_collections.virtops.kvm.plugins.modules import host_certificate


def files_below(folder: pathlib.Path, **texts: str) -> Files:
    """Files of /etc/libvirt, by their names with _ for the dot."""
    for name, text in texts.items():
        path = folder / "etc/libvirt" / name.replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Files(str(folder))


class Certificates(host_certificate.Gateway):
    """Whoever runs the tests owns all files."""

    def __init__(self, root: str, listener: str = "libvirtd") -> None:
        super().__init__(root)
        self._listener = listener

    def listener(self) -> str:
        return self._listener

    def readers(self) -> Readers:
        return Readers((os.getuid(), os.getgid()), (os.getuid(), os.getgid()))


class FakeDaemons:
    """As the gateway of libvirt_daemon; does what systemctl would, and refuses a socket for a daemon that runs."""

    def __init__(self, *, working: t.Sequence[str] = ()) -> None:
        names = (
            "libvirtd.socket",
            "libvirtd-ro.socket",
            "libvirtd-admin.socket",
            "libvirtd.service",
            "virtlogd.socket",
        )
        self.state = {name: Unit(name, "enabled", True, 100.0, "first") for name in names}
        self.state["libvirtd-tls.socket"] = Unit("libvirtd-tls.socket")
        self.texts = {"/etc/libvirt/qemu.conf": 'user = "root"\n'}
        self.times = {"/etc/libvirt/qemu.conf": 50.0}
        self.notes: dict[str, dict[str, t.Any]] = {}
        self.working = list(working)
        self.steps: list[Step] = []

    def units(self) -> dict[str, Unit]:
        return dict(self.state)

    def text(self, path: str) -> str | None:
        return self.texts.get(path)

    def written(self, path: str) -> float | None:
        return self.times.get(path)

    def seen(self, service: str) -> dict[str, t.Any]:
        return self.notes.get(service, {})

    def jobs(self) -> list[str]:
        return self.working

    def take(self, step: Step) -> None:
        self.steps.append(step)
        for name in step.units:
            unit = self.state[name]
            if step.verb == "enable":
                self.state[name] = dataclasses.replace(unit, enabled="enabled")
            elif step.verb == "stop":
                self.state[name] = dataclasses.replace(unit, active=False)
            elif step.verb == "restart" or not unit.active:
                if name.endswith(".socket"):
                    assert not self.state["libvirtd.service"].active, f"{name} cannot be opened for a daemon that runs"
                self.state[name] = dataclasses.replace(unit, active=True, started=200.0, run="second")

    def note(self, service: str, run: str, digest: str) -> None:
        self.notes[service] = {"run": run, "digest": digest}


def chain(family: str, table: str, name: str, **words: str) -> dict[str, t.Any]:
    """A chain for what comes in, as nft tells of it."""
    base = {"hook": "input", "type": "filter", "prio": 0}
    return {"chain": {"family": family, "table": table, "name": name, "handle": 1, **base, **words}}


def rule(
    family: str, table: str, name: str, handle: int, expressions: list[dict[str, t.Any]], comment: str = ""
) -> dict[str, t.Any]:
    """A rule, as nft tells of it."""
    about = {"family": family, "table": table, "chain": name, "handle": handle, "expr": expressions}
    return {"rule": {**about, "comment": comment} if comment else about}


class FakeFirewalls:
    """As the gateway of firewall_opening: a host with nftables, of which one chain drops."""

    def __init__(self, running: t.Sequence[str] = ("nftables",)) -> None:
        self._running = list(running)
        self.text = ""
        self.done: list[str] = []

    def running(self) -> list[str]:
        return self._running

    def ruleset(self) -> list[dict[str, t.Any]]:
        return [chain("inet", "filter", "input", policy="drop")]

    def rules_file(self) -> tuple[str, str]:
        return "/etc/nftables.conf", self.text

    def try_rules(self, path: str, text: str) -> None:
        self.done.append("try")

    def write(self, path: str, text: str) -> None:
        self.done.append(f"write {path}")
        self.text = text

    def take(self, step: t.Any) -> None:
        self.done.append(" ".join(step.words))
