# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The header of a save file, byte by byte."""

from __future__ import annotations

import pathlib
import struct

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.savefile import parse_save_header, saved_while_running


def head(ran: int, version: int = 2, magic: bytes = b"LibvirtQemudSave") -> bytes:
    return magic + struct.pack("=IIIII", version, 5000, ran, 0, 0) + bytes(28)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (head(1), True),
        (head(0), False),
        (head(1, version=0), None),
        (head(1, magic=b"LibvirtQemudPart"), None),
        (head(1)[:24], None),
        (b"", None),
    ],
)
def test_parse_save_header(data: bytes, wanted: bool | None) -> None:
    assert parse_save_header(data) is wanted


def test_a_file_that_is_none_is_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / "x.save").write_bytes(b"x")
    for name in ("x.save", "missing.save"):
        with pytest.raises(KvmError) as caught:
            saved_while_running(str(tmp_path / name))
        assert caught.value.error_code == "SAVED_STATE_UNREADABLE"
    (tmp_path / "y.save").write_bytes(head(1))
    assert saved_while_running(str(tmp_path / "y.save"))
