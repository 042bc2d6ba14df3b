# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""TCP probes of other hosts: who can be reached from here, all at once and with little patience."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.knock import probe
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Reachability

_WORKERS = 32


@dataclasses.dataclass(frozen=True)
class Peer:
    """A host to be probed at ``address`` on every one of ``ports``."""

    name: str
    address: str
    ports: tuple[int, ...]


def probe_all(peers: t.Sequence[Peer], connect: t.Callable[[str, int], str] = probe) -> tuple[Reachability, ...]:
    """Probe all peers at the same time; results in the order of ``peers`` and their ports."""
    targets = [(peer, port) for peer in peers for port in peer.ports]
    if not targets:
        return ()
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(_WORKERS, len(targets))) as pool:
        results = list(pool.map(lambda target: connect(target[0].address, target[1]), targets))
    return tuple(Reachability(peer.name, peer.address, port, result) for (peer, port), result in zip(targets, results))
