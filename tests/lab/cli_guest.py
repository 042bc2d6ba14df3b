# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs `guest`, `watch` and `fault` of the lab's command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any, get_type_hints

from .guest.guest import Guest
from .guest.shapes import SHAPES, Shape
from .inventory import wrapper
from .lab import Lab
from .shell import LabError

ACTIONS = (
    "create",
    "start",
    "stop",
    "destroy",
    "remove",
    "list",
    "where",
    "status",
    "console",
    "tell",
    "watch",
    "verify",
)
FAULTS = """\
link HOST down|up              pull or plug the cable
shape HOST MBIT [DELAY_MS]     limit rate and delay in both directions (0: no limit)
unshape HOST
fill HOST [LEAVE_MIB]          fill the image pool
unfill HOST
daemon HOST kill|stop|cont|restart|down|up
qemu GUEST HOST kill|stop|cont
close HOST [PORTS]             drop incoming TCP (default: the migration ports)
open HOST
power HOST off|on
clear [HOST]                   end all faults"""


def add_verbs(verbs: Any, common: argparse.ArgumentParser) -> None:
    guest = verbs.add_parser(
        "guest", parents=[common], help="create, start, stop, verify ... guests",
        description=f"Shapes: {', '.join(SHAPES)}. Options of create: KEY=VALUE for any field of a shape, such as "
        "size_mib=256 fill_mib=100 memory_mib=128 dirty=200 cache=none startup_policy=optional autostart=true.",
    )  # fmt: skip
    guest.add_argument("guest", help="name of the guest (any, for `list`)")
    guest.add_argument("action", choices=ACTIONS)
    guest.add_argument("words", nargs="*", help="create: KEY=VALUE ...; tell: a command such as `dirty 500`")
    guest.add_argument("--host", default="kvm1", help="where to create it, or which host to verify")
    guest.add_argument("--shape", default="qcow2", choices=sorted(SHAPES))
    guest.add_argument("--seconds", type=float, default=10, help="how long to watch")
    guest.add_argument("--acknowledged", type=Path, help="report of a watcher to verify against")
    fault = verbs.add_parser(
        "fault", parents=[common], help="break things, and mend them", epilog=FAULTS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    fault.add_argument("what")
    fault.add_argument("words", nargs="*")


def parse_options(words: list[str]) -> dict[str, Any]:
    """KEY=VALUE words as typed fields of a shape."""
    hints = get_type_hints(Shape)
    options: dict[str, Any] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or key not in hints or key == "disks":
            known = ", ".join(field.name for field in dataclasses.fields(Shape) if field.name != "disks")
            raise LabError(f"{word!r}: expected KEY=VALUE with one of {known}")
        if hints[key] is bool:
            options[key] = value.lower() in ("1", "true", "yes")
        elif hints[key] is int:
            options[key] = int(value)
        else:
            options[key] = value
    return options


def show(data: Any) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False))


def run_guest(lab: Lab, options: argparse.Namespace) -> int:
    action = options.action
    if action == "list":
        for guest in lab.guests:
            places = ", ".join(f"{host} ({state})" for host, state in guest.where().items()) or "nowhere"
            print(f"{guest.name:20} {guest.address:15} {places}")
        return 0
    if action == "create":
        made = lab.create_guest(options.host, options.shape, options.guest, **parse_options(options.words))
        print(f"{made.name} {made.address} on {options.host}")
        return 0
    guest = lab.guest(options.guest)
    if action in ("start", "stop", "destroy", "remove"):
        getattr(guest, action)()
    elif action == "where":
        show(guest.where())
    elif action == "status":
        show(guest.status())
    elif action == "tell":
        show(guest.ask(" ".join(options.words), 30))
    elif action == "console":
        ssh = str(wrapper(lab.name, "ssh"))
        os.execv(ssh, [ssh, "-t", guest.host().name, "virsh", "console", guest.uuid])
    elif action == "watch":
        return watch(lab, guest, options.seconds)
    else:
        return verify(lab, guest, options)
    return 0


def watch(lab: Lab, guest: Guest, seconds: float) -> int:
    with lab.watch([guest]) as watcher:
        time.sleep(seconds)
    show(watcher.of(guest))
    return 0


def verify(lab: Lab, guest: Guest, options: argparse.Namespace) -> int:
    acknowledged = None
    if options.acknowledged:
        report = json.loads(options.acknowledged.read_text(encoding="utf-8"))
        acknowledged = report["guests"][guest.name]["acknowledged"]
    verdict = lab.verify(guest, None, acknowledged)
    show(dataclasses.asdict(verdict))
    return 0 if verdict.clean else 1


def run_fault(lab: Lab, options: argparse.Namespace) -> int:
    what, words, fault = options.what, list(options.words), lab.fault
    try:
        if what == "link":
            fault.link(words[0], {"up": True, "down": False}[words[1]])
        elif what == "shape":
            delay = float(words[2]) if len(words) > 2 else None
            fault.shape(words[0], float(words[1]) or None, delay)
        elif what == "fill":
            fault.fill(words[0], int(words[1]) if len(words) > 1 else 1)
        elif what == "daemon":
            fault.daemon(words[0], words[1])
        elif what == "qemu":
            fault.qemu(lab.guest(words[0]), words[1], words[2])
        elif what == "close":
            fault.close(words[0], *words[1:2])
        elif what == "power":
            fault.power(words[0], {"on": True, "off": False}[words[1]])
        elif what == "clear":
            fault.clear(*words[:1])
        elif what in ("unshape", "unfill", "open"):
            getattr(fault, what)(words[0])
        else:
            raise LabError(f"unknown fault {what}; there are:\n{FAULTS}")
    except (IndexError, KeyError, ValueError) as error:
        raise LabError(f"fault {what} {' '.join(words)}: not understood; there are:\n{FAULTS}") from error
    return 0
