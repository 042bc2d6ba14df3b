# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing settings into files that have a life of their own."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import parse_settings
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._host.settings import (
    changes,
    checked,
    examples,
    rendered,
    rewrite,
    unknown,
)

#: As libvirt ships it, and as somebody went on.
SHIPPED = """# Master configuration file.
#
# The port range:
#
#migration_port_min = 49152
#migration_port_max = 49215

#security_driver = "selinux"
#cgroup_device_acl = [
#    "/dev/null", "/dev/full",
#    "/dev/kvm"
#]
#max_core = "unlimited"
user = "images"  # ours
#namespaces = [ "mount" ]
"""


def one(text: str, **wanted: t.Any) -> str:
    return rewrite("/etc/libvirt/qemu.conf", text, checked(wanted))


def test_a_new_setting_stands_at_its_example_and_all_else_stays() -> None:
    new = one(SHIPPED, migration_port_max=49300, cgroup_device_acl=["/dev/null", "/dev/kvm"])
    assert (
        new.replace("migration_port_max = 49300\n", "", 1).replace(
            'cgroup_device_acl = [ "/dev/null", "/dev/kvm" ]\n', "", 1
        )
        == SHIPPED
    )
    assert "migration_port_max = 49300\n#migration_port_max = 49215\n" in new
    assert '"/dev/kvm" ]\n#cgroup_device_acl = [\n' in new


@pytest.mark.parametrize(
    ("text", "wanted", "expected"),
    [
        ("", {"user": "root"}, 'user = "root"\n'),
        ("a = 1", {"user": "root"}, 'a = 1\nuser = "root"\n'),
        ('user = "images"  # ours\n', {"user": "root"}, 'user = "root"  # ours\n'),
        ('user = "images"  # ours\n', {"user": "images"}, 'user = "images"  # ours\n'),
        ('  user="images"\nb = 2\n', {"user": None}, "b = 2\n"),
        ('user = "a" b = 2\n', {"user": None}, " b = 2\n"),
        ("a = 1\nb = 2\na = 3\n", {"a": 4}, "a = 4\nb = 2\n"),
        ("a = 1\na = 1\n", {"a": 1}, "a = 1\n"),
        ('acl = [\n  "/x", # why\n  "/y"\n]\nb = 2\n', {"acl": ["/z"]}, 'acl = [ "/z" ]\nb = 2\n'),
        ('acl = [\n  "/x"\n]\nb = 2\n', {"acl": []}, "acl = []\nb = 2\n"),
        ('text = """\na = 1\n"""\n', {"a": 2}, 'text = """\na = 1\n"""\na = 2\n'),
        ("a = 1\r\nb = 2\r\n", {"b": 3}, "a = 1\r\nb = 3\r\n"),
        ('host = "büro"\n', {"host": "küche"}, 'host = "küche"\n'),
    ],
)  # fmt: skip
def test_rewrite(text: str, wanted: dict[str, t.Any], expected: str) -> None:
    new = one(text, **wanted)
    assert new == expected
    assert changes("f", new, checked(wanted)) == ()
    assert one(new, **wanted) == new


def test_a_broken_file_is_not_made_worse() -> None:
    with pytest.raises(KvmError) as caught:
        one('open = [ "/a"\n', user="root")
    assert caught.value.error_code == "SETTINGS_DAMAGED"


def test_changes_tell_both_sides() -> None:
    told = changes("qemu.conf", SHIPPED, checked({"user": "root", "max_core": None, "group": "kvm"}))
    assert [(one.object, one.action, one.before, one.after) for one in told] == [
        ("qemu.conf: group", "set", None, "kvm"),
        ("qemu.conf: user", "set", "images", "root"),
    ]
    assert [one.action for one in changes("f", SHIPPED, checked({"user": None}))] == ["remove"]


def test_yes_and_no_are_numbers() -> None:
    assert checked({"a": True, "b": False, "c": None, "d": 7}) == {"a": 1, "b": 0, "c": None, "d": 7}


@pytest.mark.parametrize(
    "given",
    [
        {"vnc_password": "x"},
        {"Bad-Name": 1},
        {"a": 1.5},
        {"a": {"b": 1}},
        {"a": [1]},
        {"a": "two\nlines"},
        {"a": "both \" and '"},
        {"a = 1\nb": "x"},
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, t.Any]) -> None:
    with pytest.raises(InputError):
        checked(given)


def test_quotes_are_kept_apart() -> None:
    assert rendered('say "hi"') == "'say \"hi\"'"
    assert parse_settings(f"a = {rendered(chr(34))}") == {"a": '"'}


def test_the_file_itself_tells_what_libvirt_knows() -> None:
    assert examples(SHIPPED) == {
        "migration_port_min": "number",
        "migration_port_max": "number",
        "security_driver": "text",
        "cgroup_device_acl": "list",
        "max_core": "text",
        "namespaces": "list",
    }
    assert unknown(SHIPPED, checked({"migration_port_mni": 1, "max_core": 1024, "security_driver": ["none"]})) == [
        "migration_port_mni"
    ]
    assert unknown("# by hand\n", checked({"anything": 1})) == []


@pytest.mark.parametrize("wanted", [{"migration_port_min": "49152"}, {"security_driver": 0}])
def test_another_kind_of_value_is_refused(wanted: dict[str, t.Any]) -> None:
    with pytest.raises(InputError, match="would not start"):
        unknown(SHIPPED, checked(wanted))
