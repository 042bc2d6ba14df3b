# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of the role libvirt_host: packages by distribution and settings by daemon."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
import yaml

ROLE = pathlib.Path(__file__).resolve().parents[2] / "roles" / "libvirt_host"
#: What an Enterprise Linux 10 has, looked up in the recipes that one of them publishes of its repositories: package -> repository.
EL10 = {
    "libvirt-daemon-kvm": "AppStream",
    "libvirt-client": "AppStream",
    "qemu-kvm": "AppStream",
    "qemu-img": "AppStream",
    "edk2-ovmf": "AppStream",
    "swtpm": "AppStream",
    "swtpm-tools": "AppStream",
    "python3-libvirt": "AppStream",
    "python3-lxml": "AppStream",
    "python3-libnbd": "AppStream",
    "openssl": "BaseOS",
    "iproute": "BaseOS",
    "procps-ng": "BaseOS",
}
#: The settings that libvirt 11.3's virtproxyd.conf shows and its virtqemud.conf does not, and those that both show.
OF_THE_PROXY = (
    "auth_tcp auth_tls ca_file cert_file crl_file key_file listen_addr listen_tcp listen_tls tcp_min_ssf tcp_port "
    "tls_allowed_dn_list tls_no_sanity_certificate tls_no_verify_certificate tls_port tls_priority"
)
OF_BOTH = (
    "access_drivers admin_max_clients audit_level auth_unix_ro auth_unix_rw host_uuid host_uuid_source keepalive_count "
    "keepalive_interval log_filters log_level log_outputs max_anonymous_clients max_client_requests max_clients "
    "max_queued_clients max_workers min_workers ovs_timeout prio_workers sasl_allowed_username_list unix_sock_group "
    "unix_sock_rw_perms"
)


def variables() -> dict[str, t.Any]:
    """The role's own variables, as they stand in their file."""
    found = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_packages_are_those_of_the_distribution() -> None:
    packages = variables()["__libvirt_host_packages"]
    # Debian 13, Debian 12 and Ubuntu 24.04 install theirs for real, in the lab and by hand.
    assert set(packages) == {"Debian", "RedHat"}
    assert set(packages["RedHat"]) == set(EL10)


@pytest.mark.parametrize("need", ["python3-libvirt", "python3-lxml", "python3-libnbd", "openssl"])
def test_what_the_modules_need_on_a_host_is_installed_everywhere(need: str) -> None:
    assert all(need in packages for packages in variables()["__libvirt_host_packages"].values())


def test_settings_go_to_the_daemon_that_knows_them() -> None:
    listening = re.compile(variables()["__libvirt_host_listening"])
    assert [name for name in OF_THE_PROXY.split() if not listening.search(name)] == []
    assert [name for name in OF_BOTH.split() if listening.search(name)] == []
