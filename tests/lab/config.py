# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written into a host's root file system before it boots: names, keys, trust, libvirt's settings."""

from __future__ import annotations

import os
from pathlib import Path

from .host import IMAGES, SHARED, Host, machine_id
from .shell import run

SSH_CONFIG = """Host *
    StrictHostKeyChecking yes
    UserKnownHostsFile /root/.ssh/known_hosts
    LogLevel ERROR
"""
SSHD_CONFIG = """PermitRootLogin prohibit-password
UseDNS no
MaxStartups 200
MaxSessions 200
"""
POOL = """<pool type='dir'>
  <name>default</name>
  <uuid>{uuid}</uuid>
  <source/>
  <target><path>{path}</path></target>
</pool>
"""
NETWORK = """<network>
  <name>lab</name>
  <uuid>{uuid}</uuid>
  <forward mode='bridge'/>
  <bridge name='br0'/>
</network>
"""


def write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def make_key(path: Path, comment: str) -> str:
    """Make an ssh key pair if it is not there; return the public half."""
    public = path.with_name(path.name + ".pub")
    if not public.exists():
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
    return public.read_text(encoding="utf-8").strip()


def hosts_file(hosts: list[Host]) -> str:
    lines = ["127.0.0.1 localhost", *(f"{host.address} {host.fqdn} {host.name}" for host in hosts)]
    return "\n".join(lines) + "\n"


def known_hosts(hosts: list[Host], keys: Path) -> str:
    lines = []
    for host in hosts:
        public = make_key(keys / f"host-{host.name}", host.fqdn)
        lines.append(f"{host.name},{host.fqdn},{host.address} {public}")
    return "\n".join(lines) + "\n"


def settings(path: Path, values: dict[str, str], note: str) -> None:
    """Append settings to a libvirt configuration file, once."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    marker = f"\n# lab: {note}\n"
    text = text.split(marker)[0]
    write(path, text + marker + "".join(f"{name} = {value}\n" for name, value in values.items()))


def configure(host: Host, hosts: list[Host], keys: Path) -> None:
    """Write a host's own configuration into its (mounted, not running) root file system."""
    root = host.root
    write(root / "etc/hostname", host.name + "\n")
    write(root / "etc/machine-id", machine_id(host) + "\n")
    write(root / "etc/resolv.conf", "# the lab has no name server; see /etc/hosts\n")
    configure_ssh(host, hosts, keys)
    if host.role == "hypervisor" and not host.bare:
        configure_libvirt(host)


def configure_ssh(host: Host, hosts: list[Host], keys: Path) -> None:
    root = host.root
    write(root / "etc/hosts", hosts_file(hosts))
    pinned = known_hosts(hosts, keys)
    private, public = keys / "id_ed25519", make_key(keys / "id_ed25519", "root@virtops-lab")
    ssh = root / "root/.ssh"
    ssh.mkdir(parents=True, exist_ok=True)
    ssh.chmod(0o700)
    write(ssh / "authorized_keys", public + "\n", 0o600)
    if not host.bare:  # the controller gets into a bare one, and no host into another
        write(ssh / "id_ed25519", private.read_text(encoding="utf-8"), 0o600)
        write(ssh / "id_ed25519.pub", public + "\n")
        write(ssh / "known_hosts", pinned)
        write(root / "etc/ssh/ssh_config.d/lab.conf", SSH_CONFIG)
    write(root / "etc/ssh/sshd_config.d/lab.conf", SSHD_CONFIG)
    own = keys / f"host-{host.name}"
    write(root / "etc/ssh/ssh_host_ed25519_key", own.read_text(encoding="utf-8"), 0o600)
    write(root / "etc/ssh/ssh_host_ed25519_key.pub", own.with_name(own.name + ".pub").read_text(encoding="utf-8"))


def configure_libvirt(host: Host) -> None:
    etc = host.root / "etc/libvirt"
    daemons = [path for path in (etc / "libvirtd.conf", etc / "virtqemud.conf") if path.exists()]
    for daemon in daemons:
        settings(daemon, {"host_uuid": f'"{host.uuid}"'}, "every host is a machine of its own")
    values = {"security_driver": '"none"'}  # a container has no AppArmor of its own
    if not host.own_kernel and "shared_filesystems" in (etc / "qemu.conf").read_text(encoding="utf-8"):
        values["shared_filesystems"] = f'[ "{SHARED}" ]'
    settings(etc / "qemu.conf", values, "what a container host needs")
    declare(etc, "storage", "default", POOL.format(uuid=host.uuid[:-4] + "0001", path=IMAGES))
    declare(etc, "qemu/networks", "lab", NETWORK.format(uuid=host.uuid[:-4] + "0002"))


def declare(etc: Path, folder: str, name: str, xml: str) -> None:
    """A persistent, autostarted object of libvirt; libvirt wants an absolute link."""
    write(etc / folder / f"{name}.xml", xml, 0o600)
    link = etc / folder / "autostart" / f"{name}.xml"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(f"/etc/libvirt/{folder}/{name}.xml")
