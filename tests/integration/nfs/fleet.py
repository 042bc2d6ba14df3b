# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests on real NFS share: the playbooks, the guests, and what must still be true after every fault."""

from __future__ import annotations

import json
import pathlib
import typing as t

from tests.integration.ansible_runs import ROOT, Run, run_playbook
from tests.integration.conftest import EMPTY_HOST
from tests.lab.network import netns_of

if t.TYPE_CHECKING:
    from tests.lab import Guest, Lab
    from tests.lab.host import Host

EXPORT = "/srv/images"
SHARED = "/srv/shared"
POOL = "shared"
ISO = f"{SHARED}/tools.iso"
DRIVE = f"<disk type='file' device='cdrom'><source file='{ISO}'/><target dev='sda' bus='sata'/><readonly/></disk>"
#: Emulated hosts are slow, and the machine has other things to do.
PATIENCE = 2400.0


def script(host: Host, text: str, *words: str, check: bool = True) -> str:
    """A script on a host; gives what it prints."""
    return host.run(["bash", "-c", text, "bash", *words], check=check).stdout


def configure(lab: Lab, *arguments: str, **values: t.Any) -> Run:
    """Run configure_nfs.yml for all hosts of the lab."""
    given = {"shared_storage_hosts": "kvm", "shared_storage_server_host": lab.servers[0].name, **values}
    given = {name: value for name, value in given.items() if value is not None}
    return run_playbook(
        lab.inventory, ROOT / "playbooks/configure_nfs.yml", *arguments, extra_vars=given, timeout=PATIENCE
    )


def migrate(lab: Lab, reports: pathlib.Path, destination: str, **values: t.Any) -> Run:
    """Run migrate_shared.yml, from where the guests can be reached."""
    given = {"live_source": "kvm", "live_destination": destination, "live_report_dir": str(reports), **values}
    inside = ["nsenter", f"--net=/run/netns/{netns_of(lab.name)}", "--"]
    playbook = ROOT / "playbooks/migrate_shared.yml"
    return run_playbook(lab.inventory, playbook, extra_vars=given, prefix=inside, timeout=PATIENCE)


def evacuate(lab: Lab, reports: pathlib.Path, source: str, *arguments: str) -> Run:
    """Run evacuate.yml for one host. The hosts are too small to keep what others keep for themselves."""
    given = {
        "evacuate_source": source,
        "evacuate_destinations": "kvm",
        "evacuate_report_dir": str(reports),
        "evacuate_memory_reserve": "64 MiB",
    }
    playbook = ROOT / "playbooks/evacuate.yml"
    return run_playbook(lab.inventory, playbook, *arguments, extra_vars=given, timeout=PATIENCE)


def content(guest: Guest, host: Host) -> str:
    """A checksum of all that is on the guest's disk, as that host has it."""
    ((path, form),) = guest.disk_sources(host)
    with guest.still(host):
        return script(
            host,
            'set -e; qemu-img convert -U -f "$2" -O raw "$1" /tmp/content; sha256sum < /tmp/content; rm /tmp/content',
            path,
            form,
        )


def outcomes(reports: pathlib.Path) -> dict[str, dict[str, t.Any]]:
    """What became of each domain, out of the one report there."""
    (path,) = reports.glob("*/report.json")
    return {one["domain"]: one for one in json.loads(path.read_text("utf-8"))["report"]["outcomes"]}


def pool(lab: Lab) -> dict[str, t.Any]:
    """The pool as the playbook asks for it, in the options of storage_pool."""
    return {
        "name": POOL,
        "type": "netfs",
        "source_host": lab.servers[0].address,
        "source_path": EXPORT,
        "protocol_version": "4.2",
        "path": SHARED,
        "autostart": True,
    }


def changes(run: Run) -> dict[str, int]:
    """What changed on which inventory host, those without a change left out."""
    return {host: counts["changed"] for host, counts in run.recap.items() if counts["changed"]}


def said(run: Run) -> str:
    """What was printed, without the line breaks."""
    return " ".join(run.output.split())


def inventory_of(folder: pathlib.Path, host: Host, **values: str) -> str:
    """A further inventory, in which one host has settings of its own."""
    path = folder / "more.json"
    path.write_text(json.dumps({"kvm": {"hosts": {host.name: values}}}), encoding="utf-8")
    return str(path)


def tidy(lab: Lab) -> None:
    """End every fault, and remove every guest and image; exports and pools stay."""
    lab.fault.clear()
    for guest in lab.guests:
        guest.remove()
    for host in lab.hosts:
        script(host, EMPTY_HOST.replace("/srv/shared ", ""))
    script(lab.servers[0], 'find "$1" -mindepth 1 -delete', EXPORT)


def undo(lab: Lab) -> None:
    """Take the pool from every host, and the export from the server."""
    for host in lab.hosts:
        host.virsh("pool-destroy", POOL, check=False)
        host.virsh("pool-undefine", POOL, check=False)
    script(lab.servers[0], 'rm -rf /etc/exports.d/*.exports "$1"; exportfs -ra', EXPORT)


def uncordon(lab: Lab) -> None:
    """Let every host take guests again."""
    for host in lab.hosts:
        host.run(["rm", "-f", "/var/lib/virtops-kvm/cordon.json"])


def make_guests(lab: Lab) -> dict[str, Guest]:
    """On the first host: `web`, which beats, and `archive` on shared storage; `local` and `cellar` on storage of their host.

    `local` boots nothing, so it can run beside the other: a second guest that beats starves on an emulated host. `web` beats
    seldom: at its usual pace it uses most of what such a host has.
    """
    here = lab.hosts[0]
    here.write(ISO, "tools")
    filled = {"start": "shutoff", "size_mib": 20, "fill_mib": 4}
    wanted: list[tuple[str, str | None, dict[str, t.Any]]] = [
        ("shared", "web", {"extra_devices": DRIVE, "beat_ms": 1000, "records": 1}),
        ("qcow2", "local", {**filled, "idle": True}),
        ("shared", "archive", {"start": "shutoff", "size_mib": 16}),
        ("qcow2", "cellar", filled),
    ]
    return {guest.name: guest for guest in lab.create_guests(here, wanted)}
