# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the controller reaches the hosts: ssh through the lab's own network namespace, and an Ansible inventory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import network
from .config import known_hosts, make_key, write
from .host import Host
from .shell import RUN

GROUPS = {"hypervisor": "kvm", "storage": "storage"}


def run_directory(lab: str) -> Path:
    return RUN / lab


def inventory_path(lab: str) -> Path:
    return run_directory(lab) / "inventory.yml"


def wrapper(lab: str, program: str) -> Path:
    return run_directory(lab) / program


def write_access(lab: str, hosts: list[Host], keys: Path) -> None:
    """Write ssh, scp and sftp wrappers, the ssh configuration and the inventory into the lab's run directory."""
    folder = run_directory(lab)
    make_key(keys / "id_ed25519", "root@virtops-lab")
    write(folder / "known_hosts", known_hosts(hosts, keys))
    config = [
        "Host *",
        "    User root",
        f"    IdentityFile {keys / 'id_ed25519'}",
        "    IdentitiesOnly yes",
        f"    UserKnownHostsFile {folder / 'known_hosts'}",
        "    StrictHostKeyChecking yes",
        "    PreferredAuthentications publickey",
        "    LogLevel ERROR",
        "    ConnectTimeout 15",
        *(f"Host {host.name} {host.fqdn}\n    HostName {host.address}" for host in hosts),
    ]
    write(folder / "ssh_config", "\n".join(config) + "\n")
    for program in ("ssh", "scp", "sftp"):
        text = f'#!/bin/sh\nexec nsenter --net=/run/netns/{network.netns_of(lab)} -- {program} -F {folder}/ssh_config "$@"\n'
        write(wrapper(lab, program), text, 0o755)
    write(inventory_path(lab), inventory(lab, hosts))


def inventory(lab: str, hosts: list[Host]) -> str:
    """JSON, which is YAML too: no quoting surprises and no YAML library here."""
    folder = run_directory(lab)
    variables = {
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_executable": str(wrapper(lab, "ssh")),
        "ansible_scp_executable": str(wrapper(lab, "scp")),
        "ansible_sftp_executable": str(wrapper(lab, "sftp")),
        "ansible_ssh_args": "-o ControlMaster=auto -o ControlPersist=60s",
        "ansible_control_path_dir": str(folder / "cp"),
        "ansible_ssh_pipelining": True,
    }
    groups: dict[str, dict[str, Any]] = {"kvm": {"hosts": {}, "vars": variables}}
    for host in hosts:
        group = groups.setdefault(GROUPS[host.role], {"hosts": {}, "vars": variables})
        group["hosts"][host.name] = {"ansible_host": host.address, "lab_fqdn": host.fqdn, "lab_suite": host.suite}
    return json.dumps(groups, indent=2) + "\n"
