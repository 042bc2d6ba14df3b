# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a waiting guest process listens: on another port where somebody took the one that was free."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_ports import Ports, listen

TAKEN = "Failed to find an available port: Address already in use"


class Context:
    """A destination whose ports are free one after the other."""

    def __init__(self) -> None:
        self.far = self
        self.port = 49151

    def call(self, verb: str, *, address: str, count: int) -> list[int]:
        assert (verb, address, count) == ("free_ports", "192.0.2.2", 1)
        self.port += 1
        return [self.port]


def begun(words: str, until: int) -> tuple[int, list[int]]:
    """The port on which it listens, where QEMU refuses with ``words`` what is below ``until``; and what was tried."""
    tried: list[int] = []

    def begin(port: int) -> None:
        tried.append(port)
        if port < until:
            raise KvmError("MONITOR_REFUSED", f"QEMU refused migrate-incoming: {words}", desc=words)

    return listen(t.cast("t.Any", Context()), "192.0.2.2", begin), tried


def test_a_port_that_was_taken_in_between_is_left_for_another() -> None:
    assert begun(TAKEN, 49154) == (49154, [49152, 49153, 49154])


@pytest.mark.parametrize(
    ("words", "until"), [(TAKEN, 99999), ("the incoming migration has already been started", 49153)]
)
def test_what_does_not_get_better_is_told(words: str, until: int) -> None:
    with pytest.raises(KvmError, match=words):
        begun(words, until)


def test_addresses_are_written_as_qemu_reads_them() -> None:
    assert Ports("192.0.2.2", 49152).uri == "tcp:192.0.2.2:49152"
    assert Ports("2001:db8::2", 49152).uri == "tcp:[2001:db8::2]:49152"
