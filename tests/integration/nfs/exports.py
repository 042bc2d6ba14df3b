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

from tests.integration.ansible_runs import run_module
from tests.integration.nfs.fleet import EXPORT, script

if t.TYPE_CHECKING:
    from tests.lab import Lab

COUNT = 300


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
        # Folders that are not there make it say so, and end with a status of 1.
        script(
            server,
            'printf "$(cat /run/asked.octal)" > /etc/exports.d/asked.exports; exportfs -ra 2>/dev/null; exportfs -s > /run/asked.shown',
        )
        shown = server.fetch("/run/asked.shown").decode("utf-8", "surrogateescape")
    finally:
        script(server, "rm -f /etc/exports.d/asked.exports /run/asked.*; exportfs -ra")
    rows = {(row.path, row.client): row for row in parse_table(shown)}
    wanted = {
        (entry.path, one.name): effective(*one.lists) for entry in reversed(entries) for one in reversed(entry.clients)
    }
    assert wanted.keys() <= rows.keys()
    assert [
        (place, options.words(), rows[place].words)
        for place, options in wanted.items()
        if differs(options, rows[place])
    ] == []


def agree(shared: Lab) -> None:
    """What is in force is what the files say."""
    found = run_module(shared.inventory, shared.servers[0].name, "nfs_export_info", {"paths": [EXPORT]})
    assert len(found["exports"]) == len(shared.hosts), found
    assert all(one["agrees"] for one in found["exports"]), found
