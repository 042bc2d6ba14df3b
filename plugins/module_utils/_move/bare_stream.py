# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""How a guest process's memory is sent: what both QEMUs are told of it before they speak with each other.

A monitor keeps what it was told, also by an earlier attempt, so everything is said every time.
"""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import MULTIFD_COMPRESSIONS
from ansible_collections.virtops.kvm.plugins.module_utils._move.bare_context import BareContext, BareOptions
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import mirror

Ask = t.Callable[..., t.Any]


def tell_there(context: BareContext) -> None:
    """Let the waiting guest know how it will be sent. Raises OPTION_UNSUPPORTED for what one of both QEMUs does not have."""
    known = _known(context.there)
    _refuse_unknown(context, known & _known(context.source().execute))
    wanted = {"events": True, "late-block-activate": True, **_asked(context.options)}
    chosen = [{"capability": name, "state": value} for name, value in wanted.items() if name in known]
    context.there("migrate-set-capabilities", {"capabilities": chosen})
    _set(context.there, _parameters(context.options), context.far.host)


def tell_here(context: BareContext, name_in_certificate: str) -> None:
    """Let the source know how it is to send; an empty name is no TLS."""
    source, options = context.source(), context.options
    wanted = {"events": True, "pause-before-switchover": True, "late-block-activate": True, **_asked(options)}
    parameters: dict[str, t.Any] = {
        "max-bandwidth": mirror.bandwidth_of(options.bandwidth),
        "downtime-limit": options.max_downtime,
    }
    if options.postcopy:
        parameters["max-postcopy-bandwidth"] = options.bandwidth * mirror.MIB
    if name_in_certificate:
        parameters["tls-hostname"] = name_in_certificate
    mirror.apply(source, mirror.settings(source, wanted), parameters)
    _set(source.execute, _parameters(options), context.source_host)


def _asked(options: BareOptions) -> dict[str, bool]:
    """The capabilities that options ask for."""
    return {
        "auto-converge": options.auto_converge,
        "postcopy-ram": options.postcopy,
        "multifd": options.parallel_connections > 0,
        "xbzrle": options.compression == "xbzrle",
    }


def _parameters(options: BareOptions) -> dict[str, t.Any]:
    """What both ends have to agree about."""
    if not options.parallel_connections:
        return {}
    method = options.compression if options.compression in MULTIFD_COMPRESSIONS else "none"
    return {"multifd-channels": options.parallel_connections, "multifd-compression": method}


def _set(ask: Ask, parameters: t.Mapping[str, t.Any], host: str) -> None:
    if not parameters:
        return
    try:
        ask("migrate-set-parameters", dict(parameters))
    except KvmError as exc:
        if exc.error_code != "MONITOR_REFUSED":
            raise
        raise KvmError(
            "OPTION_UNSUPPORTED",
            f"QEMU on {host} cannot send memory so ({', '.join(f'{name}={value}' for name, value in parameters.items())}): {exc.message}",
            option="parallel_connections" if parameters["multifd-compression"] == "none" else "compression",
        ) from exc


def _known(ask: Ask) -> set[str]:
    return {one["capability"] for one in ask("query-migrate-capabilities")}


def _refuse_unknown(context: BareContext, known: t.AbstractSet[str]) -> None:
    for name, wanted in {**_asked(context.options), "pause-before-switchover": True}.items():
        if wanted and name not in known:
            raise KvmError(
                "OPTION_UNSUPPORTED",
                f"QEMU on one of the hosts {context.source_host} and {context.far.host} has no '{name}'; leave that out.",
                option=name,
            )
