# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The facts and findings of one move, gathered over the two connections that the move has open anyway."""

from __future__ import annotations

import concurrent.futures

from ansible_collections.virtops.kvm.plugins.module_utils._checks.preflight import check
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.domains import read_domains
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.hosts import read_host
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.migration import DESTINATION, SOURCE, MoveGateway
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.preflight import Request, check_named, gather
from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host
from ansible_collections.virtops.kvm.plugins.module_utils._move.context import Survey
from ansible_collections.virtops.kvm.plugins.module_utils._move.flags import Options
from ansible_collections.virtops.kvm.plugins.module_utils._move.workspace import Workspace
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import Mapping


class Surveyor:
    """Surveys a domain by its UUID, as late as it is asked to."""

    def __init__(
        self, gateway: MoveGateway, workspace: Workspace, options: Options, mapping: Mapping, facts: Host | None
    ) -> None:
        self._gateway = gateway
        self._workspace = workspace
        self._options = options
        self._mapping = mapping
        self._facts = facts
        # What is asked of the source host itself does not change meanwhile, and the destination is still being connected to.
        background = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        self._here = background.submit(read_host, gateway.connection(SOURCE))
        background.shutdown(wait=False)

    def __call__(self, uuid: str) -> Survey:
        """Everything the preflight finds. Raises InputError where the options name what the domain does not have."""
        gateway, options = self._gateway, self._options
        source, destination = gateway.connection(SOURCE), gateway.connection(DESTINATION)
        domain = read_domains(source, [uuid])[0]
        check_named(domain, options.disks, self._mapping)
        leftovers = self._leftovers(domain)
        request = Request(
            destination_name=gateway.destination_host,
            source_name=gateway.source_host,
            address=options.migration_address,
            port=options.migration_port,
            method=options.method,
            disks=options.disks,
            mapping=self._mapping,
            accept=options.accept,
            tls=options.tls,
            may_stop=options.may_stop,
            facts=self._facts,
            ours=(*self._ours(uuid), *leftovers),
        )
        facts = gather(source, destination, domain, request, self._here.result())
        return Survey(domain, tuple(check(facts)), facts.choice, leftovers)

    def _leftovers(self, domain: Domain) -> tuple[str, ...]:
        paths = [
            self._mapping.disk(disk.target, disk.source)
            for disk in domain.local_disks()
            if disk.type == "file" and disk.source is not None
        ]
        return tuple(path for path in paths if self._gateway.leftover_image(path, domain.uuid))

    def _ours(self, uuid: str) -> tuple[str, ...]:
        """Images on the destination that an interrupted move of this domain made: a real run removes them first."""
        journal = self._workspace.read_journal(uuid)
        if (
            journal is None
            or journal.destination_uri != self._gateway.destination_uri
            or journal.stage in ("done", "undone")
        ):
            return ()
        return tuple(image.path for image in journal.created_images)
