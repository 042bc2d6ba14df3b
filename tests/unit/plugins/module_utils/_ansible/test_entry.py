# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module hands to Ansible."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._ansible import entry
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import Module
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt import binding


def test_what_a_result_names_as_its_path_is_not_looked_at(tmp_path: pathlib.Path) -> None:
    given = {"path": str(tmp_path), "state": "active"}
    assert Module.__new__(Module).add_path_info(dict(given)) == given


@pytest.mark.parametrize(("found", "again"), [(None, []), ("/usr/bin/python3", ["/usr/bin/python3"])])
def test_what_is_only_preferred_is_looked_for_and_may_be_missing(
    monkeypatch: pytest.MonkeyPatch, found: str | None, again: list[str]
) -> None:
    started: list[str] = []
    monkeypatch.setattr(binding, "IMPORT_ERROR", "there is none")
    monkeypatch.setattr(entry, "has_respawned", lambda: False)
    monkeypatch.setattr(entry, "probe_interpreters_for_module", lambda unused_paths, unused_name: found)
    monkeypatch.setattr(entry, "respawn_module", started.append)
    entry._respawn_for(("libvirt",))
    assert started == again
