# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What benchmarks do on lab hosts: run the module as one process, run virsh as a person would, take images away again."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import time
import typing as t

import ansible.module_utils

from tests.bench.harness import NotMeasured
from tests.lab.guest.guest import Guest
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.shell import wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
STAGE = "opt/virtops-bench"
MODULE = "ansible_collections.virtops.kvm.plugins.modules.domain_migration"
#: Pages in a second: quick, and yet the guest beats.
_TOUCH_RATE, _PAGES_PER_MIB = 20000, 256


def stage_module(host: Host) -> None:
    """Put the collection and ansible's module_utils on the host, so that a module runs there as the one process it is."""
    place = host.root / STAGE
    shutil.rmtree(place, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(pathlib.Path(ansible.module_utils.__path__[0]), place / "ansible" / "module_utils", ignore=ignore)
    (place / "ansible" / "__init__.py").write_text("", encoding="utf-8")
    shutil.copy(pathlib.Path(ansible.module_utils.__path__[0]).parent / "release.py", place / "ansible" / "release.py")
    plugins = place / "ansible_collections" / "virtops" / "kvm" / "plugins"
    for folder in ("modules", "module_utils"):
        shutil.copytree(ROOT / "plugins" / folder, plugins / folder, ignore=ignore)
    host.run(["python3", "-m", "compileall", "-q", f"/{STAGE}"], check=False)


def timed(host: Host, words: list[str]) -> tuple[float, str]:
    """Seconds and output of a command on the host. Raises NotMeasured when it fails."""
    start = time.monotonic()
    done = host.run(words, check=False)
    seconds = time.monotonic() - start
    if done.returncode != 0:
        raise NotMeasured(f"{words[0]} on {host.name} ended with status {done.returncode}: {done.stdout} {done.stderr}")
    return seconds, done.stdout


def module_move(guest: Guest, source: Host, destination: Host, **options: t.Any) -> float:
    """Move by our module; the seconds of its whole process."""
    arguments = {
        "name": guest.name,
        "destination": destination.uri,
        "migration_address": destination.address,
        **options,
    }
    source.write("/tmp/virtops-bench.json", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    command = ["env", f"PYTHONPATH=/{STAGE}", "python3", "-m", MODULE, "/tmp/virtops-bench.json"]
    seconds, output = timed(source, command)
    if not json.loads(output).get("changed"):
        raise NotMeasured(f"the module did not move {guest.name}: {output}")
    return seconds


def touch_memory(guest: Guest) -> None:
    """Let the guest write to all of the memory that it may dirty, so that it has to be sent; then it keeps still."""

    def touched() -> bool:
        status = guest.status()
        return status is not None and status["dirtied"] >= status["area_mib"] * _PAGES_PER_MIB

    guest.set_dirty_rate(_TOUCH_RATE)
    wait_for(f"guest {guest.name} to touch its memory", touched, 600)
    guest.set_dirty_rate(0)


def bytes_sent(host: Host) -> int:
    """What a host whose link is shaped has put on it since then, as the shaper counts it: with all headers."""
    words = ["tc", "-s", "-j", "-n", host.netns, "qdisc", "show", "dev", "eth0", "root"]
    shown = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    if len(shown) != 1 or shown[0]["kind"] != "tbf":
        raise NotMeasured(f"the link of {host.name} is not shaped: {shown}")
    return int(shown[0]["bytes"])


def virsh_words(guest: Guest, destination: Host, *, copy_storage: bool) -> list[str]:
    """What a careful person types instead."""
    words = ["virsh", "-q", "migrate", "--live", "--p2p", "--persistent", "--undefinesource"]
    if copy_storage:
        words.append("--copy-storage-all")
    return [*words, guest.uuid, destination.uri, "--migrateuri", f"tcp://{destination.address}"]


def virsh_move(guest: Guest, source: Host, destination: Host, *, copy_storage: bool) -> float:
    """Move by bare virsh; the seconds of its whole process."""
    return timed(source, virsh_words(guest, destination, copy_storage=copy_storage))[0]


def forget_images(guest: Guest, host: Host) -> None:
    """Delete the guest's images on a host that it does not run on, so that the next move there starts from nothing."""
    if host.name in guest.where():
        raise NotMeasured(f"{guest.name} is still on {host.name}")
    for path in guest.disks:
        if path.startswith("/var/lib/libvirt/images/"):
            host.run(["rm", "-f", path])
    host.virsh("pool-refresh", "default")


def settle(lab: Lab, guests: t.Iterable[Guest], place: str) -> None:
    """Every guest runs on ``place`` and nowhere else."""
    for guest in guests:
        if guest.running_on() != [place]:
            raise NotMeasured(f"{guest.name} is not where it should be ({place}): {guest.where()}")
        guest.wait_beating()
