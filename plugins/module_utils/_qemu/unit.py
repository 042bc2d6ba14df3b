# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The systemd unit that a guest process runs in: a guest <-> the text of its unit file. Pure."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import from_data, to_data
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.commandline import folder_of

#: Where unit files are that survive a start of the host, and those that do not.
PERSISTENT, TRANSIENT = "/etc/systemd/system", "/run/systemd/system"
LOGS = "/var/log/virtops-kvm"
#: For one start only: how that differs from the start that the unit itself says.
START_FILE = "90-virtops-kvm-start.conf"
_SECTION = "[X-VirtopsKvm]"
PREFIX = "virtops-kvm-guest-"
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.")


@dataclasses.dataclass(frozen=True)
class Tap:
    """A tap device that is made before the guest starts, and goes when it has ended."""

    name: str
    bridge: str


@dataclasses.dataclass(frozen=True)
class Unit:
    """What a unit file says. ``arguments`` begin with the program."""

    name: str
    uuid: str
    user: str
    arguments: tuple[str, ...]
    taps: tuple[Tap, ...] = ()


def unit_name(name: str) -> str:
    """The unit of the guest ``name``, escaped as systemd-escape does it."""
    escaped = "".join(
        chr(byte) if chr(byte) in _PLAIN and not (index == 0 and byte == ord(".")) else f"\\x{byte:02x}"
        for index, byte in enumerate(name.encode("utf-8"))
    )
    return f"{PREFIX}{escaped}.service"


def log_file(name: str) -> str:
    """What the process of the guest ``name`` writes."""
    return f"{LOGS}/{unit_name(name)[: -len('.service')]}.log"


def render(unit: Unit, ip: str, *, persistent: bool) -> str:
    """The text of the unit file; ``ip`` is the path of that program."""
    lines = [
        "# Written by virtops.kvm.qemu_guest, which writes it anew.",
        "[Unit]",
        f"Description=Guest process {_no_specifiers(unit.name)}",
        "After=network.target",
        "",
        "[Service]",
        "Type=exec",
        f"User={unit.user}",
        # QEMU's sockets shall be for root and for its own user.
        "UMask=0077",
        f"RuntimeDirectory={folder_of(unit.uuid)[len('/run/') :]}",
        "RuntimeDirectoryMode=0700",
        f"StandardOutput=append:{_no_specifiers(log_file(unit.name))}",
        "StandardError=inherit",
        "Restart=no",
        "LimitMEMLOCK=infinity",
    ]
    for tap in unit.taps:
        lines.append(f"ExecStartPre=+-{ip} tuntap add dev {tap.name} mode tap user {unit.user}")
        lines.append(f"ExecStartPre=+{ip} link set dev {tap.name} master {tap.bridge} up")
    lines.append(f"ExecStart={quoted(unit.arguments)}")
    lines += [f"ExecStopPost=+-{ip} link delete dev {tap.name}" for tap in unit.taps]
    if persistent:
        lines += ["", "[Install]", "WantedBy=multi-user.target"]
    guest = json.dumps(to_data(unit), ensure_ascii=True, separators=(",", ":"))
    return "\n".join([*lines, "", _SECTION, f"Guest={guest}", ""])


def parse(text: str) -> Unit | None:
    """The guest that a unit file says; None where it is none of ours."""
    _before, found, section = text.partition(f"\n{_SECTION}\n")
    for line in section.splitlines() if found else ():
        key, _equals, value = line.partition("=")
        if key == "Guest":
            try:
                return from_data(Unit, json.loads(value))
            except (AttributeError, TypeError, ValueError):
                return None
    return None


def start_text(arguments: t.Sequence[str]) -> str:
    """The text of a file that replaces the arguments for one start."""
    return f"[Service]\nExecStart=\nExecStart={quoted(arguments)}\n"


def quoted(words: t.Sequence[str]) -> str:
    """A command line in a unit file, in which no character means anything to systemd."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'


def _no_specifiers(text: str) -> str:
    return text.replace("%", "%%")
