# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The header of libvirt's save files: whether the guest ran when its memory was saved. libvirt has no call that tells."""

from __future__ import annotations

import struct

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError

_MAGIC = b"LibvirtQemudSave"
_NUMBERS = 3
#: Magic, version, length of the document, was running, format (raw), offset of the cookie (none), and room for more.
_HEADER = struct.Struct("=16s5I14I")
_VERSION = 2


def save_header(xml: str) -> bytes:
    """What a save file of a running guest with this definition begins with; the stream of a migration follows it."""
    document = xml.encode("utf-8") + b"\0"
    return _HEADER.pack(_MAGIC, _VERSION, len(document), 1, 0, 0, *([0] * 14)) + document


def parse_save_header(head: bytes) -> bool | None:
    """Whether the guest ran, from the first bytes of a save file; None for anything else.

    The header is magic, version, length of the document, was running (each 32 bits, in the byte order of the host).
    """
    numbers = head[len(_MAGIC) :]
    if not head.startswith(_MAGIC) or len(numbers) < 4 * _NUMBERS:
        return None
    version, _length, ran = struct.unpack_from("=III", numbers)
    return bool(ran) if 1 <= version <= 0xFFFF else None


def saved_while_running(path: str) -> bool:
    """Whether the guest ran when the file ``path`` was saved. Raises KvmError SAVED_STATE_UNREADABLE."""
    try:
        with open(path, "rb") as stream:
            ran = parse_save_header(stream.read(64))
    except OSError as exc:
        raise KvmError(
            "SAVED_STATE_UNREADABLE",
            f"The saved memory {path} cannot be read ({exc.strerror}); look at it, or drop it with 'virsh managedsave-remove'.",
            path=path,
        ) from exc
    if ran is None:
        raise KvmError(
            "SAVED_STATE_UNREADABLE",
            f"The file {path} is no saved memory of libvirt; look at it, or drop it with 'virsh managedsave-remove'.",
            path=path,
        )
    return ran
