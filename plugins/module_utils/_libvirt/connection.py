# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""One connection to one libvirtd, and the translation of its errors into ours."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.binding import library

LOCAL_URI = "qemu:///system"

#: libvirt's error numbers (virterror.h) that a user can cause, and the stable code each becomes.
ERROR_CODES = {
    9: "LIBVIRT_OPERATION_FAILED",
    38: "LIBVIRT_SYSTEM_ERROR",
    42: "DOMAIN_NOT_FOUND",
    45: "LIBVIRT_AUTH_FAILED",
    49: "POOL_NOT_FOUND",
    50: "VOLUME_NOT_FOUND",
    55: "LIBVIRT_OPERATION_INVALID",
    67: "LIBVIRT_CONFIG_UNSUPPORTED",
    69: "MIGRATE_PERSIST_FAILED",
    74: "LIBVIRT_ARGUMENT_UNSUPPORTED",
    78: "MOVE_ABORTED",
    81: "MIGRATE_UNSAFE",
    84: "LIBVIRT_OPERATION_UNSUPPORTED",
    91: "CPU_INCOMPATIBLE",
}


def libvirt_code(error: BaseException) -> int | None:
    """The libvirt error number of ``error``, None when it is no libvirt error."""
    getter = getattr(error, "get_error_code", None)
    return getter() if getter else None


@contextlib.contextmanager
def translated(attempt: str) -> t.Iterator[None]:
    """Turn a libvirtError inside into a KvmError: ``attempt`` says what was tried on which object, without a full stop."""
    try:
        yield
    except library().libvirtError as exc:
        code = libvirt_code(exc)
        raise KvmError(
            ERROR_CODES.get(code or 0, "LIBVIRT_ERROR"),
            f"{attempt}: libvirt says: {str(exc).strip().rstrip('.')}.",
            libvirt_code=code,
        ) from exc


class Connection:
    """An open connection. ``handle`` is the virConnect; use it through the gateway classes of this room only."""

    def __init__(self, handle: t.Any, uri: str) -> None:
        self.handle = handle
        self.uri = uri

    @classmethod
    def open(cls, uri: str = LOCAL_URI, *, keepalive: bool = True) -> Connection:
        """Connect to ``uri`` read-write. Raises KvmError HOST_UNREACHABLE with the URI and what to look at."""
        lib = library()
        lib.registerErrorHandler(lambda ctx, err: None, None)
        try:
            handle = lib.open(uri)
        except lib.libvirtError as exc:
            raise KvmError(
                "HOST_UNREACHABLE",
                f"Cannot connect to libvirt at '{uri}': {str(exc).strip().rstrip('.')}. "
                "Check that the host is up, that its libvirt daemon runs, and that root of this host may log in there.",
                uri=uri,
            ) from exc
        if keepalive and uri != LOCAL_URI:
            with contextlib.suppress(lib.libvirtError):
                handle.setKeepAlive(5, 5)
        return cls(handle, uri)

    def close(self) -> None:
        """Close it; harmless twice."""
        lib = library()
        with contextlib.suppress(lib.libvirtError):
            self.handle.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()
