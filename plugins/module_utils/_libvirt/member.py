# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What one host contributes to the picture of its fleet: all that can be read on it, and how it reaches the others, in one go."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import typing as t
from urllib.parse import urlsplit

from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import Value, read_settings
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.certificates import places, read_certificates
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import Connection
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.domains import QEMU_CONF, read_domains
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.hosts import read_host
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.opening import Opening
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.reachability import Peer
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.storage_probe import is_local
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import Control, Member

#: The daemons that a host may have; where it has the configuration of both, that of the one which listens counts.
_DAEMON_FILES = {"libvirtd": "/etc/libvirt/libvirtd.conf", "virtproxyd": "/etc/libvirt/virtproxyd.conf"}
_QEMU_DAEMON_FILES = {"virtqemud": "/etc/libvirt/virtqemud.conf"}
#: Values of these are nobody's business.
_SECRET = ("password", "secret", "sasl_allowed_username_list", "tls_allowed_dn_list")
#: Logins at a time: an ssh server turns away more than a few that have not logged in yet.
_LOGINS = 4


def read_member(name: str, uri: str, peers: t.Sequence[Peer], controls: t.Mapping[str, str]) -> Member:
    """All of one host. ``peers`` are probed port by port, and ``controls`` (host -> URI) are opened for real, from here."""
    with Connection.open(uri) as connection:
        host = read_host(connection, peers)
        domains = read_domains(connection)
    member = Member(name, host, tuple(domains), controls=open_all(name, controls))
    if not is_local(uri):
        return member
    daemons = {one: path for one, path in {**_DAEMON_FILES, **_QEMU_DAEMON_FILES}.items() if one in host.daemons}
    qemu = read_settings(QEMU_CONF)
    settings = plain_settings("qemu.conf", qemu)
    listener: dict[str, Value] = {}
    for daemon, path in daemons.items():
        found = read_settings(path)
        settings.update(plain_settings(f"{daemon}.conf", found))
        if daemon in _DAEMON_FILES:
            listener.update(found)
    return dataclasses.replace(member, settings=settings, certificates=read_certificates(places(qemu, listener)))


def plain_settings(file: str, settings: t.Mapping[str, Value]) -> dict[str, str]:
    """Settings as text, without those that are secrets."""
    return {
        f"{file}: {key}": ", ".join(value) if isinstance(value, list) else str(value)
        for key, value in sorted(settings.items())
        if not any(word in key for word in _SECRET)
    }


def open_all(name: str, uris: t.Mapping[str, str], opener: t.Callable[[str], str] | None = None) -> tuple[Control, ...]:
    """Open the libvirt of every other host, a few at a time; ``opener`` returns what went wrong, or nothing."""
    # Each host begins with the next one, so that not all of them knock at the first one's door at the same time.
    names = sorted(uris)
    start = sum(other < name for other in names)
    turn = [*names[start:], *names[:start]]
    if not turn:
        return ()
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(_LOGINS, len(turn))) as pool:
        said = dict(zip(turn, pool.map(lambda other: (opener or try_to_open)(uris[other]), turn)))
    return tuple(Control(other, uris[other], not said[other], said[other]) for other in names)


def try_to_open(uri: str) -> str:
    """What keeps this host from opening ``uri``; empty when nothing does. Never asks anybody for a password."""
    try:
        Opening(without_questions(uri)).connection().close()
    except KvmError as error:
        return error.message.partition("': ")[2] or error.message
    return ""


def without_questions(uri: str) -> str:
    """``uri``, such that ssh fails where it would ask."""
    parts = urlsplit(uri)
    if parts.scheme.partition("+")[2] != "ssh" or "no_tty" in parts.query:
        return uri
    return f"{uri}{'&' if parts.query else '?'}no_tty=1"
