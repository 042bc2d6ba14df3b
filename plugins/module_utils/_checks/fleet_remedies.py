# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What the fleet's findings advise: what to do, by hand or with what this collection has for it."""

from __future__ import annotations

_CERTIFICATE = "Install a new certificate and key there (/etc/pki/libvirt for control, /etc/pki/qemu for the streams)"

#: Code -> what puts it right on a whole fleet. A code that is not here keeps the advice of its own finding.
REMEDIES = {
    "CERTIFICATE_EXPIRED": f"{_CERTIFICATE}.",
    "CERTIFICATE_EXPIRES": f"{_CERTIFICATE} before that day.",
    "CERTIFICATE_NOT_YET_VALID": "Look at the host's clock first; if it is right, make the certificate anew.",
    "CERTIFICATE_UNTRUSTED": (
        "Let one authority sign the certificates of all hosts, and install its own certificate (ca-cert.pem, cacert.pem) on all."
    ),
    "CERTIFICATE_UNUSABLE": f"{_CERTIFICATE}; both must be readable and belong together.",
    "CLOCK_SKEW": "Set up a time service there, such as chrony or systemd-timesyncd.",
    "CONTROL_UNREACHABLE": (
        "Open the control port in the firewall (ssh, or 16514 for qemu+tls), and let root of the one host log in to the other by ssh, "
        "or give both certificates; or name another address or URI (readiness_address, readiness_uri)."
    ),
    "HOST_UUID_DUPLICATE": "Give a cloned host a UUID of its own: host_uuid in libvirtd.conf or virtqemud.conf, then restart that daemon.",
    "KEY_EXPOSED": "Take the rights of others away (chmod 0600), and replace the key if somebody may have read it.",
    "PORT_BLOCKED": "Open the migration ports in the host's firewall, or name another address (readiness_address).",
    "QEMU_USER_DIFFERS": (
        "Give QEMU's user and group the same numbers on all hosts with no guest running, or name the same user and group in qemu.conf."
    ),
    "TLS_UNAVAILABLE": "Give every host a certificate and key of one authority in /etc/pki/qemu.",
    "BRIDGE_MISSING": "Create the bridge there by the means of the host's network configuration, or map it to another (mapping.bridges).",
    "CPU_INCOMPATIBLE": "Give these guests the CPU model that all hosts share (see the baseline), from their next start on.",
    "POOL_MISSING": "Define a pool of type dir at that folder there (module virtops.kvm.storage_pool).",
}


def remedy_of(code: str, own: str) -> str:
    """The advice for ``code``, by default the finding's ``own``."""
    return REMEDIES.get(code, own)
