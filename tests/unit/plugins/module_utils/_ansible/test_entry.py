# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module hands to Ansible."""

from __future__ import annotations

import pathlib

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import Module


def test_what_a_result_names_as_its_path_is_not_looked_at(tmp_path: pathlib.Path) -> None:
    given = {"path": str(tmp_path), "state": "active"}
    assert Module.__new__(Module).add_path_info(dict(given)) == given
