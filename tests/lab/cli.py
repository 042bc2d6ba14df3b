# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the lab."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import NoReturn

from .cli_guest import add_verbs, run_fault, run_guest
from .inventory import wrapper
from .lab import KINDS, Lab
from .rootfs import SUITES
from .selftest import selftest
from .shell import LabError


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="./run lab", description="A fleet of KVM hosts on this machine.")
    verbs = top.add_subparsers(dest="verb", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", default="lab", help="which lab (default: lab)")
    up = verbs.add_parser("up", parents=[common], help="build the lab, or check and repair it")
    up.add_argument("--hosts", type=int, help="default: 3, of kind vm 2")
    up.add_argument("--suite", choices=SUITES, default="trixie")
    up.add_argument("--kind", choices=KINDS, default="container", help="vm: hosts with kernels of their own, slower")
    up.add_argument("--servers", type=int, default=1, help="storage servers beside the hosts of kind vm (default: 1)")
    verbs.add_parser("down", parents=[common], help="remove the lab")
    status = verbs.add_parser("status", parents=[common], help="show hosts and guests")
    status.add_argument("--json", action="store_true")
    shell = verbs.add_parser("shell", parents=[common], help="a shell or one command on a host, by ssh")
    shell.add_argument("host")
    shell.add_argument("command", nargs=argparse.REMAINDER)
    block = verbs.add_parser("block", parents=[common], help="give a host a block device with partitions")
    block.add_argument("host")
    block.add_argument("size_mib", type=int)
    block.add_argument("--partitions", type=int, default=2, help="so many equal ones (default: 2)")
    selftest = verbs.add_parser("selftest", help="prove the lab itself, in a lab of its own")
    selftest.add_argument("--suite", choices=SUITES, default="trixie")
    add_verbs(verbs, common)
    return top


def show_status(lab: Lab, as_json: bool) -> int:
    rows = lab.status()
    if as_json:
        print(
            json.dumps({"lab": lab.name, "inventory": str(lab.inventory), "hosts": rows}, indent=2, ensure_ascii=False)
        )
    else:
        for row in rows:
            state = "up" if row["healthy"] else "on, not answering" if row["on"] else "off"
            print(f"{row['host']:6} {row['address']:15} {row['suite']:9} {state:18} {', '.join(row['running'])}")
        print(f"inventory: {lab.inventory}")
    return 0 if all(row["healthy"] for row in rows) else 1


def dispatch(options: argparse.Namespace) -> int:
    if options.verb == "up":
        hosts = options.hosts or (2 if options.kind == "vm" else 3)
        lab = Lab.up(options.name, hosts, options.suite, kind=options.kind, servers=options.servers)
        return show_status(lab, False)
    if options.verb == "down":
        Lab(options.name).down()
        return 0
    if options.verb == "selftest":
        return selftest(options.suite)
    lab = Lab.attach(options.name)
    if options.verb == "guest":
        return run_guest(lab, options)
    if options.verb == "fault":
        return run_fault(lab, options)
    if options.verb == "block":
        made = lab.block_device(options.host, options.size_mib, options.partitions)
        print("\n".join([made.path, *made.partitions]))
        return 0
    if options.verb == "status":
        return show_status(lab, options.json)
    return shell(lab, options)


def shell(lab: Lab, options: argparse.Namespace) -> NoReturn:
    ssh = str(wrapper(lab.name, "ssh"))
    host = lab.host(options.host)
    os.execv(ssh, [ssh, *(["-t"] if sys.stdin.isatty() else []), host.name, *options.command])


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if os.geteuid():
        print("lab: needs root, to make name spaces and mounts", file=sys.stderr)
        return 1
    try:
        return dispatch(options)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; `lab down` removes what was made", file=sys.stderr)
        return 130
