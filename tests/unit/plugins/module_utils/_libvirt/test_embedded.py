# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The child's settings reach nothing outside its folder, and its answers name no path inside."""

from __future__ import annotations

from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import parse_settings
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.embedded import conf_text, system_paths


def test_settings_go_along_but_for_those_that_reach_out() -> None:
    text = conf_text(
        {
            "user": "root",
            "dynamic_ownership": 1,
            "nvram": ["/a.fd:/b.fd", "/c.fd:/d.fd"],
            "hugetlbfs_mount": "/dev/hugepages",
            "lock_manager": "lockd",
            "quote": 'say "x"',
        }
    )
    found = parse_settings(text)
    assert found == {
        "user": "root",
        "dynamic_ownership": 1,
        "nvram": ["/a.fd:/b.fd", "/c.fd:/d.fd"],
        "quote": 'say "x"',
        "hugetlbfs_mount": [],
    }


def test_paths_are_those_of_the_system() -> None:
    inside = "<nvram>/run/virtops-kvm-x/lib/qemu/nvram/a_VARS.fd</nvram>"
    assert system_paths(inside, "/run/virtops-kvm-x") == "<nvram>/var/lib/libvirt/qemu/nvram/a_VARS.fd</nvram>"
