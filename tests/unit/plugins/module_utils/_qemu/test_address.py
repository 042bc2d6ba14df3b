# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses of monitors, and what the kernel's tables tell about them."""

from __future__ import annotations

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.address import (
    Address,
    listening,
    parse_address,
    tcp_held,
    unix_held,
)

UNIX = """Num       RefCount Protocol Flags    Type St Inode Path
00000000adc46c38: 00000002 00000000 00010000 0001 01 146018 q.sock
00000000b62a0b46: 00000002 00000000 00010000 0001 01 146019 /tmp/a b.sock
00000000a80a2da1: 00000003 00000000 00000000 0001 03 146027 q.sock
000000007e893616: 00000003 00000000 00000000 0001 02     0 /tmp/a b.sock
00000000b62a0b47: 00000002 00000000 00010000 0001 01 146020 @hidden
00000000b62a0b48: 00000003 00000000 00000000 0001 03 146021
"""
TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:115C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7001 1 0 100 0 0 10 0
   1: 0100007F:115C 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000     0        0 7002 1 0 20 4 30 10 -1
   2: 00000000:115D 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7003 1 0 100 0 0 10 0
   3: 0100007F:115D 0100007F:D2F2 01 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20 4 30 10 -1
   4: 00000000000000000000000001000000:115E 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 7004 1 0 100 0 0 10 0
"""


@pytest.mark.parametrize(
    ("text", "address", "again"),
    [
        ("/run/a:b", Address("unix", path="/run/a:b"), "unix:/run/a:b"),
        ("unix:/run/x y", Address("unix", path="/run/x y"), "unix:/run/x y"),
        ("unix:@hidden", Address("unix", path="hidden", abstract=True), "unix:@hidden"),
        ("tcp:kvm1:4444", Address("tcp", host="kvm1", port=4444), "tcp:kvm1:4444"),
        ("tcp::4444", Address("tcp", host="localhost", port=4444), "tcp:localhost:4444"),
        ("tcp:[::1]:4444", Address("tcp", host="::1", port=4444), "tcp:[::1]:4444"),
    ],
)
def test_an_address(text: str, address: Address, again: str) -> None:
    assert parse_address(text) == address
    assert str(address) == again


@pytest.mark.parametrize("text", ["", "unix:", "stdio", "tcp:kvm1", "tcp:kvm1:0", "tcp:kvm1:70000", "tcp:::1:44"])
def test_no_address(text: str) -> None:
    with pytest.raises(KvmError, match="is no address of a monitor") as caught:
        parse_address(text)
    assert caught.value.error_code == "MONITOR_ADDRESS"


def test_who_is_held() -> None:
    assert unix_held(UNIX, "q.sock")
    assert not unix_held(UNIX, "/tmp/a b.sock")
    assert not unix_held(UNIX, "@hidden")
    assert tcp_held(TCP, 4444)
    assert not tcp_held(TCP, 4445)


def test_who_listens() -> None:
    assert {inode: str(address) for inode, address in listening(UNIX, TCP)} == {
        "146018": "unix:q.sock",
        "146019": "unix:/tmp/a b.sock",
        "146020": "unix:@hidden",
        "7001": "tcp:127.0.0.1:4444",
        "7003": "tcp:127.0.0.1:4445",
        "7004": "tcp:[::1]:4446",
    }
