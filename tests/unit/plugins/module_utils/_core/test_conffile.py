# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading libvirt's configuration files."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import (
    list_setting,
    number_setting,
    parse_settings,
    read_settings,
    text_setting,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# user = \"root\"\n", {}),
        ('user = "root"', {"user": "root"}),
        ("group='kvm'  # why", {"group": "kvm"}),
        ("migration_port_min = 49300\n", {"migration_port_min": 49300}),
        ("max_core = -1", {"max_core": -1}),
        ('shared_filesystems = [ "/a", "/b" ]', {"shared_filesystems": ["/a", "/b"]}),
        ('cgroup_device_acl = [\n  "/dev/null", # first\n  "/dev/kvm",\n]\nuser="x"',
         {"cgroup_device_acl": ["/dev/null", "/dev/kvm"], "user": "x"}),
        ("empty = []\nnext = 1", {"empty": [], "next": 1}),
        ('path = "/with # hash"', {"path": "/with # hash"}),
        ('key = """\nseveral\nlines\n"""\nlast = 2', {"key": "\nseveral\nlines\n", "last": 2}),
        ("broken = \nuser = 'a'", {"user": "a"}),
        ("just words\nuser = 'a'", {"user": "a"}),
        ('open = [ "/a"', {"open": ["/a"]}),
        ('migration_host = "büro.example"', {"migration_host": "büro.example"}),
        ("a = 1\na = 2", {"a": 2}),
    ],
)  # fmt: skip
def test_parse(text: str, expected: dict[str, t.Any]) -> None:
    assert parse_settings(text) == expected


def test_typed_access() -> None:
    settings = parse_settings('text = "a"\nnone = ""\nnumber = 7\nlist = ["x"]')
    assert (text_setting(settings, "text"), text_setting(settings, "none")) == ("a", None)
    assert (text_setting(settings, "number"), text_setting(settings, "absent")) == (None, None)
    assert (number_setting(settings, "number", 1), number_setting(settings, "text", 1)) == (7, 1)
    assert (list_setting(settings, "list"), list_setting(settings, "text"), list_setting(settings, "absent")) == (
        ["x"],
        ["a"],
        [],
    )


def test_a_file_that_cannot_be_read_has_no_settings(tmp_path: pathlib.Path) -> None:
    assert read_settings(str(tmp_path / "absent.conf")) == {}
    (tmp_path / "qemu.conf").write_text("user = 'a'\n", encoding="utf-8")
    assert read_settings(str(tmp_path / "qemu.conf")) == {"user": "a"}
