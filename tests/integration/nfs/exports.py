# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes on vm hosts that share /srv/shared from the lab's first storage server, as virtops.kvm.configure_nfs sets it up.

exportfs understands what is rendered, drift is seen, and who uses an export is not cut off.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._nfs.options import effective
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.syntax import Entry, parse, render
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.table import differs, parse_table
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._nfs import samples

from tests.integration.ansible_runs import run_module, run_playbook

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.host import Host

IMAGES = "/srv/images"
COUNT = 300


def script(host: Host, text: str, **options: t.Any) -> str:
    """A script on a host; gives what it prints."""
    return host.run(["bash", "-c", text], **options).stdout


def asked() -> list[Entry]:
    """Exports that can be asked for, of folders that need not exist."""
    found: dict[str, Entry] = {}
    for entry in samples.entries(COUNT, seed=20261):
        plain = not re.search(r"\\[0-7]{3}|//|/\.\.?(/|$)|[\x00-\x1f]", entry.path)
        if plain:
            found.setdefault(entry.path, Entry(f"/srv/made-up{entry.path}", entry.clients))
    return list(found.values())


def prints_what_was_asked(shared: Lab) -> None:
    """What -s prints of many exports with all that exports(5) knows is what they mean."""
    server = shared.servers[0]
    entries = asked()
    data = b"".join(render(entry) + b"\n" for entry in entries)
    assert [placed.entry for placed in parse(data, "asked")] == entries
    octal = "".join(f"\\{byte:03o}" for byte in data)
    try:
        server.run(["tee", "/run/asked.octal"], input=octal)
        script(
            server, 'printf "$(cat /run/asked.octal)" > /etc/exports.d/asked.exports; exportfs -ra 2>/dev/null; true'
        )
        rows = {(row.path, row.client): row for row in parse_table(script(server, "exportfs -s"))}
    finally:
        script(server, "rm -f /etc/exports.d/asked.exports /run/asked.octal; exportfs -ra")
    wanted = {
        (entry.path, one.name): effective(*one.lists) for entry in reversed(entries) for one in reversed(entry.clients)
    }
    assert wanted.keys() <= rows.keys()
    assert [
        (place, options.words(), rows[place].words)
        for place, options in wanted.items()
        if differs(options, rows[place])
    ] == []


def an_export_in_use_stays(shared: Lab) -> None:
    """Removing it is refused, with the address of the client, and nothing changes."""
    server, client = shared.servers[0], shared.hosts[0]
    before = script(server, "exportfs -s")
    script(client, "touch /srv/shared/held; setsid sleep 600 < /srv/shared/held > /dev/null 2>&1 &")
    try:
        refused = run_module(shared.inventory, server.name, "nfs_export", {"path": IMAGES, "state": "absent"})
        assert (refused["failed"], refused["error_code"]) == (True, "EXPORT_IN_USE")
        assert client.address in refused["msg"]
        assert "cut_off_clients" in refused["msg"]
        assert script(server, "exportfs -s") == before
    finally:
        script(client, "fuser -k /srv/shared/held; rm -f /srv/shared/held; true")


def drift_by_hand_is_put_right(shared: Lab) -> None:
    """What somebody did by exportfs -o is one change, and then none."""
    server = shared.servers[0]
    found = run_module(shared.inventory, server.name, "nfs_export_info", {"paths": [IMAGES]})
    clients = [one["client"] for one in found["exports"]]
    assert all(one["agrees"] for one in found["exports"]), found
    options = {
        "path": IMAGES,
        "clients": [{"client": client} for client in clients],
        "options": found["exports"][0]["options"],
    }
    task = {"name": "Export", "virtops.kvm.nfs_export": options}
    play = {"name": "Drift", "hosts": server.name, "gather_facts": False, "tasks": [task, task]}
    script(server, f"exportfs -o ro,insecure {clients[0]}:{IMAGES}")
    mended, again = run_playbook(shared.inventory, [play]).results("nfs_export")
    assert [change["action"] for change in mended["changes"]] == ["correct"]
    assert "insecure" in mended["changes"][0]["before"]
    assert again["changed"] is False
