# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What the host's own files say: memory, pages, bridges, daemons, certificates, clock. Nothing here asks libvirt.

Readers of files take the root of the file system, so that tests give them a small tree of their own.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import Value, text_setting
from ansible_collections.virtops.kvm.plugins.module_utils._core.rtnetlink import read_links

#: Every daemon that may serve migrations, and the socket that stands for it.
_DAEMONS = {
    "libvirtd": "libvirt-sock",
    "virtqemud": "virtqemud-sock",
    "virtproxyd": "virtproxyd-sock",
    "virtnetworkd": "virtnetworkd-sock",
    "virtstoraged": "virtstoraged-sock",
    "virtlogd": "virtlogd-sock",
    "virtlockd": "virtlockd-sock",
}
_TLS_FILES = ("ca-cert.pem", "server-cert.pem", "server-key.pem")
_STA_UNSYNC = 0x0040
#: Debian's name, everybody else's.
_QEMU_USERS = ("libvirt-qemu", "qemu")


def parse_meminfo(text: str) -> dict[str, int]:
    """The sizes in /proc/meminfo in bytes (counts of pages as they are)."""
    sizes: dict[str, int] = {}
    for line in text.splitlines():
        key, separator, rest = line.partition(":")
        fields = rest.split()
        if separator and fields and fields[0].isdigit():
            sizes[key.strip()] = int(fields[0]) * (1024 if fields[1:] == ["kB"] else 1)
    return sizes


def meminfo(root: str = "/") -> dict[str, int]:
    """This host's /proc/meminfo."""
    return parse_meminfo(_text(os.path.join(root, "proc/meminfo")))


def bridges() -> tuple[str, ...]:
    """The bridges that a NIC can be plugged into. Open vSwitch gives each of its bridges a device of the same name; the devices
    of its other internal ports cannot be told from those, and are named too."""
    return tuple(sorted(link.name for link in read_links() if link.kind in ("bridge", "openvswitch")))


def daemons(root: str = "/") -> dict[str, str]:
    """The libvirt daemons of this host: running, or socket for one that starts when somebody connects."""
    found: dict[str, str] = {}
    for name in _DAEMONS:
        pid = _text(os.path.join(root, f"run/{name}.pid")).strip()
        if pid.isdigit() and _text(os.path.join(root, f"proc/{pid}/comm")).strip() == name:
            found[name] = "running"
    sockets = dict(_DAEMONS)
    if "libvirtd" not in found and os.path.exists(os.path.join(root, "run/libvirt", sockets["virtqemud"])):
        # With one daemon for each driver, the proxy has libvirtd's socket (virtproxyd.socket).
        sockets["virtproxyd"] = sockets.pop("libvirtd")
    for name, socket_name in sockets.items():
        if name not in found and os.path.exists(os.path.join(root, "run/libvirt", socket_name)):
            found[name] = "socket"
    return {name: found[name] for name in _DAEMONS if name in found}


def tls_ready(settings: t.Mapping[str, Value], root: str = "/") -> bool:
    """Whether the certificates for encrypted migrations are where this host's qemu.conf has QEMU look for them."""
    return _has_certificates(os.path.join(root, tls_folder(settings, root).lstrip("/")))


def tls_folder(settings: t.Mapping[str, Value], root: str = "/") -> str:
    """Where QEMU looks for the certificates of migrations (the order is libvirt's)."""
    named = text_setting(settings, "migrate_tls_x509_cert_dir")
    if named:
        return named
    own = "/etc/pki/libvirt-migrate"
    if os.path.isdir(os.path.join(root, own.lstrip("/"))):
        return own
    return text_setting(settings, "default_tls_x509_cert_dir") or "/etc/pki/qemu"


def _has_certificates(folder: str) -> bool:
    return all(os.path.isfile(os.path.join(folder, name)) for name in _TLS_FILES)


class _Timex(ctypes.Structure):
    """The head of struct timex; the kernel writes more, for which there is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_byte * 512),
    )


def clock_synchronized() -> bool | None:
    """Whether the kernel's clock is held by a time service, whichever that is; None where the kernel does not tell."""
    state = _Timex()
    try:
        answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(state))
    except (OSError, AttributeError):
        return None
    return None if answer < 0 else not state.status & _STA_UNSYNC


def qemu_ids(settings: t.Mapping[str, Value]) -> tuple[int | None, int | None]:
    """The user and group that QEMU runs as: qemu.conf's, else the distribution's own."""
    user, group = text_setting(settings, "user"), text_setting(settings, "group")
    uid = _user_id(user) if user else next((_user_id(name) for name in _QEMU_USERS if _user_id(name) is not None), None)
    if group:
        return uid, _group_id(group)
    return uid, next((_group_id(name) for name in _QEMU_USERS if _group_id(name) is not None), None)


def _user_id(name: str) -> int | None:
    # libvirt: "+0" is a number for sure, "0" a name first.
    if name.startswith("+") and name[1:].isdigit():
        return int(name[1:])
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return int(name) if name.isdigit() else None


def _group_id(name: str) -> int | None:
    if name.startswith("+") and name[1:].isdigit():
        return int(name[1:])
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return int(name) if name.isdigit() else None


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
