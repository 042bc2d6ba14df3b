# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""From a user's options to libvirt's migration flags and parameters. What this libvirt does not know is refused, not tried."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.method import MOVE_METHODS
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import MULTIFD_COMPRESSIONS

METHODS = MOVE_METHODS
ACTIONS = ("abort", "postcopy", "suspend")
POLICIES = ("keep", "rename", "delete")
SHUTDOWN_ACTIONS = ("fail", "destroy")
CHAINS = ("keep", "flatten")


@dataclasses.dataclass(frozen=True)
class Options:
    """How to move. Bandwidths are MiB/s (0: no limit), pauses milliseconds, ``timeout`` seconds (0: scaled by size)."""

    method: str = "auto"
    migration_address: t.Optional[str] = None
    migration_port: int = 0
    disks: tuple[str, ...] = ()
    bandwidth: int = 0
    max_downtime: int = 300
    downtime_start: int = 0
    downtime_steps: int = 5
    downtime_delay: float = 0
    timeout: float = 0
    timeout_action: str = "abort"
    auto_converge: bool = False
    postcopy: bool = False
    parallel_connections: int = 0
    compression: str = "none"
    tls: bool = False
    source_disks: str = "keep"
    autostart: bool = True
    accept: tuple[str, ...] = ()
    source_slots: int = 2
    destination_slots: int = 2
    may_stop: bool = False
    shutdown_timeout: float = 300
    shutdown_action: str = "fail"
    chain: str = "keep"
    transfer_host: t.Optional[str] = None

    def __post_init__(self) -> None:
        """Raises InputError for what cannot be meant."""
        for name, least in (
            ("bandwidth", 0), ("max_downtime", 1), ("downtime_start", 0), ("downtime_steps", 1), ("downtime_delay", 0),
            ("timeout", 0), ("shutdown_timeout", 1), ("migration_port", 0), ("parallel_connections", 0), ("source_slots", 0),
            ("destination_slots", 0),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise InputError(name, f"The option '{name}' is {getattr(self, name)}, and must be at least {least}.")
        if self.migration_port > 65535:
            raise InputError("migration_port", "The option 'migration_port' must be at most 65535.")
        if self.parallel_connections > 255:
            raise InputError("parallel_connections", "The option 'parallel_connections' must be at most 255.")
        if self.timeout_action == "postcopy" and not self.postcopy:
            raise InputError("timeout_action", "The timeout action 'postcopy' needs the option 'postcopy' to be true.")
        check_compression(self.compression, self.parallel_connections)


def check_compression(compression: str, parallel_connections: int) -> None:
    """Raises InputError for a compression that needs more connections."""
    if compression in MULTIFD_COMPRESSIONS and parallel_connections < 1:
        raise InputError(
            "compression", f"The compression '{compression}' needs parallel_connections of at least 1 (multifd)."
        )


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of migrateToURI3: its flags and its parameters."""

    flags: int
    params: dict[str, t.Any]


def build_call(
    options: Options,
    constant: t.Callable[[str], t.Optional[int]],
    *,
    persistent: bool,
    paused: bool,
    copied: t.Sequence[str],
    address: str,
    live_xml: str,
    persistent_xml: str,
) -> Call:
    """The call for one domain. ``constant`` looks a name up in libvirt and gives None for what this version does not have.

    ``copied`` are the targets to copy: where there are none, no list is given, because libvirt takes an empty list for all.
    """
    wanted = ["LIVE", "PEER2PEER", "ABORT_ON_ERROR"]
    port = f":{options.migration_port}" if options.migration_port else ""
    params: dict[str, t.Any] = {"migrate_uri": f"tcp://{_bracketed(address)}{port}", "destination_xml": live_xml}
    if persistent:
        wanted += ["PERSIST_DEST", "UNDEFINE_SOURCE"]
        params["persistent_xml"] = persistent_xml
    if paused:
        wanted.append("PAUSED")
    if copied:
        wanted.append("NON_SHARED_DISK")
        params["migrate_disks"] = list(copied)
    if options.bandwidth:
        params["bandwidth"] = options.bandwidth
    if options.auto_converge:
        wanted.append("AUTO_CONVERGE")
    if options.postcopy and not paused:
        wanted.append("POSTCOPY")
    if options.parallel_connections:
        wanted.append("PARALLEL")
        params["parallel.connections"] = options.parallel_connections
    if options.compression != "none":
        wanted.append("COMPRESSED")
        params["compression"] = options.compression
        if (
            options.compression != "xbzrle"
            and constant_text(constant, f"PARAM_COMPRESSION_{options.compression.upper()}_LEVEL") is None
        ):
            raise _unsupported(f"compression={options.compression}", "9.4")
    if options.tls:
        wanted.append("TLS")
    flags = 0
    for name in wanted:
        value = constant(f"VIR_MIGRATE_{name}")
        if value is None:
            raise _unsupported(name.lower(), "a newer version")
        flags |= value
    return Call(flags, params)


def constant_text(constant: t.Callable[[str], t.Any], name: str) -> t.Any:
    """libvirt's VIR_MIGRATE_ ``name``, None where it is not there."""
    return constant(f"VIR_MIGRATE_{name}")


def _unsupported(what: str, since: str) -> KvmError:
    return KvmError(
        "OPTION_UNSUPPORTED",
        f"libvirt on the source does not support '{what}' for migrations (libvirt {since} does); leave the option out.",
        option=what,
    )


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address and not address.startswith("[") else address
