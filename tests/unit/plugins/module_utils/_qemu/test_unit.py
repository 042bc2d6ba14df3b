# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.unit import (
    Tap,
    Unit,
    log_file,
    parse,
    quoted,
    render,
    start_text,
    unit_name,
)

UUID = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
GUEST = Unit('wéb 50% "$x"', UUID, "qemu", ("/usr/bin/qemu", "-name", 'guest=wéb 50% "$x"\\'), (Tap("vq1", "br0"),))


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("web01", "web01"),
        ("web-1.a_b:c", r"web\x2d1.a_b:c"),
        (".hidden", r"\x2ehidden"),
        ("wéb 1", r"w\xc3\xa9b\x201"),
        ("a%b", r"a\x25b"),
    ],
)
def test_unit_names(name: str, unit: str) -> None:
    assert unit_name(name) == f"virtops-kvm-guest-{unit}.service"
    assert log_file(name) == f"/var/log/virtops-kvm/virtops-kvm-guest-{unit}.log"


def test_a_guest_is_read_back_as_it_was_written() -> None:
    for persistent in (True, False):
        text = render(GUEST, "/sbin/ip", persistent=persistent)
        assert parse(text) == GUEST
        assert ("[Install]" in text) == persistent
    assert parse("[Service]\nExecStart=/bin/true\n") is None
    assert parse(text.replace("Guest={", "Guest={{")) is None


def test_no_character_means_anything_to_systemd() -> None:
    assert quoted(["a b", '"', "\\", "%n", "$HOME", "é"]) == r'"a b" "\"" "\\" "%%n" "$$HOME" "é"'
    text = render(GUEST, "/sbin/ip", persistent=False)
    assert 'Description=Guest process wéb 50%% "$x"' in text
    assert r'ExecStart="/usr/bin/qemu" "-name" "guest=wéb 50%% \"$$x\"\\"' in text


def test_tap_devices_come_and_go_with_the_guest() -> None:
    lines = render(GUEST, "/sbin/ip", persistent=False).splitlines()
    assert "ExecStartPre=+-/sbin/ip tuntap add dev vq1 mode tap user qemu" in lines
    assert "ExecStartPre=+/sbin/ip link set dev vq1 master br0 up" in lines
    assert "ExecStopPost=+-/sbin/ip link delete dev vq1" in lines


def test_one_start_has_other_arguments() -> None:
    assert start_text(["/q", "-S"]) == '[Service]\nExecStart=\nExecStart="/q" "-S"\n'
