# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""TLS for the streams of a move: the object with the certificates in QEMU, on either side. Each side proves who it is to the other."""

from __future__ import annotations

import posixpath
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError

Ask = t.Callable[..., t.Any]
#: The id of the object that holds the certificates.
CREDENTIALS = "virtops-tls"
SERVER, CLIENT = "server", "client"
#: Where QEMU and libvirt look by themselves.
FOLDER = "/etc/pki/qemu"


def files(folder: str, endpoint: str) -> list[str]:
    """What an endpoint needs to prove who it is, and to know the other."""
    return [posixpath.join(folder, name) for name in ("ca-cert.pem", f"{endpoint}-cert.pem", f"{endpoint}-key.pem")]


def add(ask: Ask, endpoint: str, folder: str, host: str) -> None:
    """Have QEMU read the certificates of ``folder``, as one ``endpoint`` of the streams. Raises TLS_UNAVAILABLE with QEMU's words."""
    drop(ask)
    try:
        ask(
            "object-add",
            {
                "qom-type": "tls-creds-x509",
                "id": CREDENTIALS,
                "endpoint": endpoint,
                "dir": folder,
                "verify-peer": True,
            },
        )
        ask("migrate-set-parameters", {"tls-creds": CREDENTIALS})
    except KvmError as exc:
        if exc.error_code != "MONITOR_REFUSED":
            raise
        raise KvmError(
            "TLS_UNAVAILABLE",
            f"QEMU on {host} cannot use the certificates in {folder}: {exc.details.get('desc', exc.message)}",
            folder=folder,
        ) from exc


def drop(ask: Ask) -> None:
    """Take what a move, perhaps another one, left of it; nothing where there is nothing."""
    if CREDENTIALS in {item["name"] for item in ask("qom-list", {"path": "/objects"})}:
        ask("migrate-set-parameters", {"tls-creds": "", "tls-hostname": ""})
        ask("object-del", {"id": CREDENTIALS})
