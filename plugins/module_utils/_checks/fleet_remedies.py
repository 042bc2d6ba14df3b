# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What the fleet's findings advise: what to do, by hand or with what this collection has for it."""

from __future__ import annotations

_CONFIGURE = "virtops.kvm.configure_hosts"

#: Code -> what puts it right on a whole fleet. A code that is not here keeps the advice of its own finding.
REMEDIES = {
    "CERTIFICATE_EXPIRED": f"Run {_CONFIGURE}, which gives the host a new one; or bring your own.",
    "CERTIFICATE_EXPIRES": (
        f"Run {_CONFIGURE} before that day with libvirt_host_renew_days above the days that are left; or bring your own."
    ),
    "CERTIFICATE_NOT_YET_VALID": (
        f"Look at the host's clock first; if it is right, remove the certificate and run {_CONFIGURE}, which makes it anew."
    ),
    "CERTIFICATE_UNTRUSTED": (
        f"Run {_CONFIGURE}, which lets one authority sign the certificates of all hosts, and installs its own certificate on all."
    ),
    "CERTIFICATE_UNUSABLE": f"Run {_CONFIGURE}, which makes certificate and key anew; or bring your own that belong together.",
    "CLOCK_SKEW": "Set up a time service there, such as chrony or systemd-timesyncd.",
    "CONTROL_UNREACHABLE": (
        f"Run {_CONFIGURE}, which lets the hosts in by TLS or by ssh (libvirt_host_trust) and opens firewalld, ufw or nftables on the host "
        "itself; what another firewall closes, ssh or port 16514, is opened there. Or name another address or URI (readiness_address, "
        "readiness_uri)."
    ),
    "HOST_UUID_DUPLICATE": (
        f"Run {_CONFIGURE}, which gives a cloned host a UUID of its own (host_uuid in libvirtd.conf or virtqemud.conf) and restarts that "
        "daemon; guests run on."
    ),
    "KEY_EXPOSED": (
        f"Run {_CONFIGURE}, which takes the rights of others away; and where somebody may have read the key, name the serial number of its "
        "certificate in libvirt_host_revoked first."
    ),
    "PORT_BLOCKED": (
        f"Run {_CONFIGURE}, which opens the migration ports in firewalld, ufw or nftables on the host itself; what another firewall "
        "closes is opened there. Or name another address (readiness_address)."
    ),
    "QEMU_USER_DIFFERS": (
        f"Run {_CONFIGURE} with libvirt_host_qemu_uid and libvirt_host_qemu_gid while no guest runs there; where qemu.conf names another "
        "user or group, take it out with null in libvirt_host_qemu_settings."
    ),
    "TLS_UNAVAILABLE": f"Run {_CONFIGURE}, which gives every host a certificate and key of one authority.",
    "BRIDGE_MISSING": "Create the bridge there by the means of the host's network configuration, or map it to another (mapping.bridges).",
    "CPU_INCOMPATIBLE": "Give these guests the CPU model that all hosts share (see the baseline), from their next start on.",
    "POOL_MISSING": "Define a pool of type dir at that folder there (module virtops.kvm.storage_pool).",
}


def remedy_of(code: str, own: str) -> str:
    """The advice for ``code``, by default the finding's ``own``."""
    return REMEDIES.get(code, own)
