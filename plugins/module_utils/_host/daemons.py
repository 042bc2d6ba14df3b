# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""libvirt's daemons on a host: which there are, how they should be, and the steps from the one to the other. Pure.

A host has one daemon for all (libvirtd), or one for each driver (virtqemud, virtnetworkd, ...) with virtproxyd for what comes in by
TLS. Which it is, the distribution decided; that is kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import Value, text_setting
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change

MONOLITHIC, MODULAR = "monolithic", "modular"
_MONOLITHIC = ("libvirtd",)
_MODULAR = (
    "virtqemud",
    "virtnetworkd",
    "virtstoraged",
    "virtnodedevd",
    "virtsecretd",
    "virtnwfilterd",
    "virtinterfaced",
    "virtproxyd",
)
#: These hold what must outlive a daemon, so they are never restarted.
_HELPERS = ("virtlogd", "virtlockd")
_SOCKETS = ("", "-ro", "-admin")
#: They start what is to start with the host; the others wait for somebody to ask.
_WITH_THE_HOST = ("libvirtd", "virtqemud", "virtnetworkd", "virtstoraged")
_ON = ("enabled", "enabled-runtime", "static", "indirect", "generated", "alias")


@dataclasses.dataclass(frozen=True)
class Unit:
    """A unit of systemd that is there. ``started`` is when its process started, in seconds since the epoch; ``run`` names that start."""

    name: str
    enabled: str = "disabled"
    active: bool = False
    started: t.Optional[float] = None
    run: str = ""


@dataclasses.dataclass(frozen=True)
class Step:
    """One call of systemctl."""

    verb: str
    units: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Decision:
    """``stale`` are the daemons that run with older settings than their files have."""

    layout: str
    services: tuple[str, ...]
    changes: tuple[Change, ...]
    steps: tuple[Step, ...]
    stale: tuple[str, ...]

    @property
    def interrupts(self) -> bool:
        """Whether a daemon that runs is stopped or started anew."""
        return any(step.verb in ("stop", "restart") for step in self.steps)


def units_of_interest() -> list[str]:
    """All units that a host may have."""
    daemons = (*_MONOLITHIC, *_MODULAR, *_HELPERS)
    names = [f"{daemon}{kind}.socket" for daemon in daemons for kind in (*_SOCKETS, "-tls")]
    return [*names, *(f"{daemon}.service" for daemon in daemons)]


def layout_of(units: t.Mapping[str, Unit]) -> str:
    """Which kind of daemons the host uses. What runs counts before what is to run after the next start, as libvirt's units of both
    kinds end each other. Raises KvmError LIBVIRT_MISSING where it has none."""
    for used in (_runs, _is_wanted, lambda _unit: True):
        for layout, daemon in ((MODULAR, "virtqemud"), (MONOLITHIC, "libvirtd")):
            mine = [units[name] for name in (f"{daemon}.socket", f"{daemon}.service") if name in units]
            if f"{daemon}.socket" in units and any(used(unit) for unit in mine):
                return layout
    raise KvmError(
        "LIBVIRT_MISSING",
        "There is no libvirt daemon with sockets of systemd on this host. Install libvirt-daemon-system (Debian, Ubuntu) or "
        "libvirt-daemon-kvm (RHEL, Fedora, SUSE).",
    )


def _runs(unit: Unit) -> bool:
    return unit.active


def _is_wanted(unit: Unit) -> bool:
    return unit.enabled in _ON[:2]


def listener_of(layout: str) -> str:
    """The daemon that other hosts reach by TLS."""
    return "libvirtd" if layout == MONOLITHIC else "virtproxyd"


def files_of(service: str, settings: t.Mapping[str, Value], present: t.Container[str]) -> tuple[str, ...]:
    """The files that a daemon reads when it starts. ``settings`` are its own. QEMU reads its certificates at each start of a guest."""
    daemon = service.rpartition(".")[0]
    files = [f"/etc/libvirt/{daemon}.conf"]
    if daemon in ("libvirtd", "virtqemud"):
        files.append("/etc/libvirt/qemu.conf")
    if daemon in ("libvirtd", "virtnetworkd"):
        files.append("/etc/libvirt/network.conf")
    if daemon in ("libvirtd", "virtproxyd") and (f"{daemon}-tls.socket" in present):
        for key, usual in (
            ("ca_file", "/etc/pki/CA/cacert.pem"),
            ("crl_file", "/etc/pki/CA/cacrl.pem"),
            ("cert_file", "/etc/pki/libvirt/servercert.pem"),
            ("key_file", "/etc/pki/libvirt/private/serverkey.pem"),
        ):
            files.append(text_setting(settings, key) or usual)
    return tuple(files)


def digest_of(contents: t.Mapping[str, str | None]) -> str:
    """What a daemon's files say, as one word."""
    told = repr(sorted((path, text) for path, text in contents.items() if text is not None))
    return hashlib.sha256(told.encode("utf-8")).hexdigest()


def is_stale(unit: Unit, written: t.Iterable[float | None], digest: str, seen: t.Mapping[str, t.Any]) -> bool:
    """Whether a daemon runs that has not seen its files as they are. ``seen`` is our record of the start that saw them: with it, a
    clock that was set back or a file that was touched means nothing."""
    if not unit.active or unit.started is None:
        return False
    if seen.get("run") == unit.run and unit.run:
        return seen.get("digest") != digest
    return any(moment is not None and moment >= unit.started for moment in written)


def decide(units: t.Mapping[str, Unit], stale: t.Container[str], *, tls: bool | None, restart: bool) -> Decision:
    """From how the units are to how they should be. ``tls`` None leaves the socket for TLS as it is. Raises KvmError."""
    layout = layout_of(units)
    daemons = [one for one in (_MONOLITHIC if layout == MONOLITHIC else _MODULAR) if f"{one}.service" in units]
    listener = listener_of(layout)
    sockets = {
        one: [name for kind in _SOCKETS for name in (f"{one}{kind}.socket",) if name in units] for one in daemons
    }
    helpers = [name for one in _HELPERS for kind in _SOCKETS for name in (f"{one}{kind}.socket",) if name in units]
    tls_socket = f"{listener}-tls.socket"
    _refuse_masked(
        units, [*helpers, *(name for names in sockets.values() for name in names)], tls_socket if tls else ""
    )
    if tls and tls_socket not in units:
        raise KvmError(
            "TLS_SOCKET_MISSING",
            f"This host has no {tls_socket}, so its libvirt cannot be reached by TLS; install the package of {listener}.",
            unit=tls_socket,
        )
    steps: list[Step] = []
    changes: list[Change] = []

    def change(verb: str, names: t.Sequence[str], told: t.Sequence[str] | None = None) -> None:
        steps.append(Step(verb, tuple(names)))
        changes.extend(Change(name, verb, *_BEFORE_AND_AFTER[verb]) for name in (names if told is None else told))

    wanted = [*helpers, *(name for names in sockets.values() for name in names)]
    services = [f"{one}.service" for one in daemons]
    boot = [f"{one}.service" for one in daemons if one in _WITH_THE_HOST]
    disabled = [name for name in (*wanted, *boot) if units[name].enabled not in _ON]
    if tls and units[tls_socket].enabled not in _ON:
        disabled.append(tls_socket)
    if disabled:
        change("enable", disabled)
    if tls is False and tls_socket in units and units[tls_socket].enabled in _ON[:2]:
        change("disable", [tls_socket])
    dead = [name for name in helpers if not units[name].active]
    if dead:
        change("start", dead)
    old = [name for name in services if name in stale and units[name].active]
    for one in daemons:
        service = f"{one}.service"
        mine = list(sockets[one])
        if one == listener and tls_socket in units and (tls or (tls is None and units[tls_socket].active)):
            mine.insert(0, tls_socket)
        closed = [name for name in mine if not units[name].active]
        surplus = (
            [tls_socket]
            if one == listener and tls is False and tls_socket in units and units[tls_socket].active
            else []
        )
        if closed or surplus:
            # A socket cannot be opened for a daemon that runs, and one that listens still would start it in between.
            open_now = [name for name in (*mine, *surplus) if units[name].active]
            if units[service].active or surplus:
                steps.append(Step("stop", (*open_now, service)))
                changes.extend(Change(name, "stop", "active", "inactive") for name in surplus)
                changes.extend([Change(service, "restart", "active", "active anew")] if units[service].active else [])
                change("start", mine, closed)
            else:
                change("start", closed)
            if units[service].active or service in boot:
                steps.append(Step("start", (service,)))
        elif service in old and restart:
            change("restart", [service])
    return Decision(layout, tuple(services), tuple(changes), tuple(steps), tuple(old))


_BEFORE_AND_AFTER = {
    "enable": ("disabled", "enabled"),
    "disable": ("enabled", "disabled"),
    "start": ("inactive", "active"),
    "restart": ("active", "active anew"),
}


def _refuse_masked(units: t.Mapping[str, Unit], names: t.Iterable[str], tls_socket: str) -> None:
    masked = [name for name in (*names, tls_socket) if name in units and units[name].enabled.startswith("masked")]
    if masked:
        raise KvmError(
            "SOCKETS_MASKED",
            f"Somebody masked {masked[0]} on this host, so that libvirt is started in another way there. Undo that "
            f"(systemctl unmask {' '.join(masked)}), and take --listen out of the daemon's arguments.",
            units=masked,
        )
