# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Readers of the host's own files, on small trees."""

from __future__ import annotations

import errno
import pathlib
import socket

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import Value
from ansible_collections.virtops.kvm.plugins.module_utils._core.knock import probe, result_of
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt import localhost
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.hosts import endpoint_of
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.reachability import Peer, probe_all
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Endpoint, Reachability


def put(root: pathlib.Path, path: str, text: str = "") -> None:
    """Write ``text`` to ``path`` below ``root``."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


def test_meminfo() -> None:
    text = "MemTotal:       2048 kB\nMemAvailable:   1024 kB\nHugePages_Total:       3\nnonsense\nBad: x kB\n"
    assert localhost.parse_meminfo(text) == {"MemTotal": 2 << 20, "MemAvailable": 1 << 20, "HugePages_Total": 3}


def test_daemons(tmp_path: pathlib.Path) -> None:
    put(tmp_path, "run/virtqemud.pid", "42\n")
    put(tmp_path, "proc/42/comm", "virtqemud\n")
    put(tmp_path, "run/virtlogd.pid", "43\n")
    put(tmp_path, "proc/43/comm", "somebody-else\n")
    put(tmp_path, "run/libvirt/virtlogd-sock")
    put(tmp_path, "run/libvirtd.pid", "44\n")
    assert localhost.daemons(str(tmp_path)) == {"virtqemud": "running", "virtlogd": "socket"}


def test_libvirtds_socket_is_the_proxys_where_drivers_have_daemons_of_their_own(tmp_path: pathlib.Path) -> None:
    put(tmp_path, "run/libvirt/libvirt-sock")
    assert localhost.daemons(str(tmp_path)) == {"libvirtd": "socket"}
    put(tmp_path, "run/libvirt/virtqemud-sock")
    assert localhost.daemons(str(tmp_path)) == {"virtqemud": "socket", "virtproxyd": "socket"}
    put(tmp_path, "run/virtproxyd.pid", "42\n")
    put(tmp_path, "proc/42/comm", "virtproxyd\n")
    assert localhost.daemons(str(tmp_path)) == {"virtqemud": "socket", "virtproxyd": "running"}
    # Units of the other kind are there too, but this is the one that is used.
    put(tmp_path, "run/libvirtd.pid", "43\n")
    put(tmp_path, "proc/43/comm", "libvirtd\n")
    assert localhost.daemons(str(tmp_path))["libvirtd"] == "running"


TLS = ("ca-cert.pem", "server-cert.pem", "server-key.pem")


@pytest.mark.parametrize(
    ("settings", "folder", "ready"),
    [
        ({}, "etc/pki/qemu", True),
        ({}, "etc/pki/libvirt-migrate", True),
        ({"default_tls_x509_cert_dir": "/own"}, "own", True),
        ({"default_tls_x509_cert_dir": "/own"}, "etc/pki/qemu", False),
        ({"migrate_tls_x509_cert_dir": "/m", "default_tls_x509_cert_dir": "/own"}, "m", True),
        ({"migrate_tls_x509_cert_dir": "/m"}, "etc/pki/libvirt-migrate", False),
        ({}, "elsewhere", False),
    ],
)
def test_tls(tmp_path: pathlib.Path, settings: dict[str, Value], folder: str, ready: bool) -> None:
    for name in TLS:
        put(tmp_path, f"{folder}/{name}")
    assert localhost.tls_ready(settings, str(tmp_path)) is ready


def test_tls_needs_every_file(tmp_path: pathlib.Path) -> None:
    put(tmp_path, "etc/pki/qemu/ca-cert.pem")
    put(tmp_path, "etc/pki/qemu/server-cert.pem")
    assert localhost.tls_ready({}, str(tmp_path)) is False


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"user": "+107", "group": "+36"}, (107, 36)),
        ({"user": "root", "group": "root"}, (0, 0)),
        ({"user": "4711", "group": "4712"}, (4711, 4712)),
        ({"user": "no such user", "group": "no such group"}, (None, None)),
    ],
)
def test_qemu_ids(settings: dict[str, Value], expected: tuple[int | None, int | None]) -> None:
    assert localhost.qemu_ids(settings) == expected


def test_the_clock_tells_or_says_nothing() -> None:
    assert localhost.clock_synchronized() in (True, False, None)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, Endpoint(None, "kvm1.example")),
        ({"migration_address": "0.0.0.0"}, Endpoint(None, "kvm1.example")),
        ({"migration_address": "[::]"}, Endpoint(None, "kvm1.example")),
        ({"migration_address": "192.0.2.1"}, Endpoint("192.0.2.1", "kvm1.example")),
        ({"migration_host": "kvm1-fast"}, Endpoint("kvm1-fast", "kvm1-fast")),
        ({"migration_address": "0.0.0.0", "migration_host": "192.0.2.2"}, Endpoint("192.0.2.2", "192.0.2.2")),
        ({"migration_port_min": 49500, "migration_port_max": 49510}, Endpoint(None, "kvm1.example", 49500, 49510)),
    ],
)
def test_endpoint(settings: dict[str, Value], expected: Endpoint) -> None:
    assert endpoint_of(settings, "kvm1.example") == expected


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (None, "open"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "refused"),
        (socket.timeout("timed out"), "timeout"),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), "timeout"),
        (OSError(errno.ENETUNREACH, "no net"), "unreachable"),
        (OSError(errno.EHOSTUNREACH, "no host"), "unreachable"),
        (OSError(errno.EACCES, "forbidden"), "unreachable"),
        (socket.gaierror(-2, "Name or service not known"), "unresolved"),
    ],
)
def test_results_of_probes(error: OSError | None, result: str) -> None:
    assert result_of(error) == result


def test_probe_of_a_real_port() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert probe("127.0.0.1", port) == "open"
    assert probe("127.0.0.1", port) == "refused"
    assert probe("a..b", port) == "unresolved"


def test_probes_keep_their_order() -> None:
    peers = [Peer("b", "192.0.2.2", (22, 49152)), Peer("a", "192.0.2.1", (22,))]
    found = probe_all(peers, lambda address, port: f"{address}:{port}")
    assert found == (
        Reachability("b", "192.0.2.2", 22, "192.0.2.2:22"),
        Reachability("b", "192.0.2.2", 49152, "192.0.2.2:49152"),
        Reachability("a", "192.0.2.1", 22, "192.0.2.1:22"),
    )
    assert probe_all([]) == ()
