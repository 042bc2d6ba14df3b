# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What the fleet's findings advise: what to do, and which playbook and variable of this collection does it."""

from __future__ import annotations

_HOSTS = "Run playbooks/configure_hosts.yml"

#: Code -> what puts it right on a whole fleet. A code that is not here keeps the advice of its own finding.
REMEDIES = {
    "CERTIFICATE_EXPIRED": f"{_HOSTS}, which renews certificates in time (libvirt_host_renew_before); or bring new ones.",
    "CERTIFICATE_EXPIRES": f"{_HOSTS} soon: it renews certificates in time (libvirt_host_renew_before).",
    "CERTIFICATE_NOT_YET_VALID": "Look at the host's clock first; then make the certificate anew (playbooks/configure_hosts.yml).",
    "CERTIFICATE_UNTRUSTED": f"{_HOSTS} for all hosts together, so that one authority (libvirt_host_authority_host) signs for all.",
    "CERTIFICATE_UNUSABLE": f"{_HOSTS}, which makes certificate and key anew (libvirt_host_trust: tls).",
    "CLOCK_SKEW": f"{_HOSTS}, which looks after the time service, or set up chrony or systemd-timesyncd by hand.",
    "CONTROL_UNREACHABLE": (
        f"{_HOSTS}, which opens the control port (libvirt_host_firewall) and gives the hosts certificates or ssh trust "
        "(libvirt_host_trust); or name another address or URI (readiness_address, readiness_uri)."
    ),
    "HOST_UUID_DUPLICATE": f"{_HOSTS}, which gives a cloned host a UUID of its own (host_uuid in libvirtd.conf or virtqemud.conf).",
    "KEY_EXPOSED": "Take the rights of others away (chmod 0600), and replace the key if somebody may have read it.",
    "PORT_BLOCKED": (
        f"{_HOSTS}, which opens the migration ports (libvirt_host_firewall, libvirt_host_port_min and _max); or name "
        "another address (readiness_address)."
    ),
    "QEMU_USER_DIFFERS": (
        "Give QEMU's user and group the same numbers on all hosts with no guest running, or name the same user and group in qemu.conf: "
        "playbooks/configure_hosts.yml with libvirt_host_qemu_settings."
    ),
    "TLS_UNAVAILABLE": f"{_HOSTS} with libvirt_host_trust: tls, which gives every host its certificates.",
    "BRIDGE_MISSING": "Create the bridge there by the means of the host's network configuration, or map it to another (mapping.bridges).",
    "CPU_INCOMPATIBLE": "Give these guests the CPU model that all hosts share (see the baseline), from their next start on.",
    "POOL_MISSING": "Define a pool of type dir at that folder there (module virtops.kvm.storage_pool).",
}


def remedy_of(code: str, own: str) -> str:
    """The advice for ``code``, by default the finding's ``own``."""
    return REMEDIES.get(code, own)
