# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The program of the destination's end of a guest process's move, as ``bare_far`` sends it."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import clock as clock_module
from ansible_collections.virtops.kvm.plugins.module_utils._core import (
    command,
    errors,
    hugepages,
    mounts,
    savefile,
    serving,
    statefile,
)
from ansible_collections.virtops.kvm.plugins.module_utils._disk import device, digest, inuse
from ansible_collections.virtops.kvm.plugins.module_utils._move import (
    bare_agent,
    bare_domain,
    bare_facts,
    bare_host,
    bare_restore,
    bare_unit,
)
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import (
    address,
    argv,
    departed,
    domainfiles,
    processes,
    schema,
    session,
    stream,
    words,
)

#: What the agent is made of; each only needs what stands before it.
SHIPPED: tuple[t.Any, ...] = (
    errors,
    savefile,
    clock_module,
    command,
    mounts,
    hugepages,
    statefile,
    serving,
    digest,
    device,
    inuse,
    argv,
    words,
    schema,
    address,
    stream,
    session,
    processes,
    departed,
    domainfiles,
    bare_domain,
    bare_restore,
    bare_unit,
    bare_host,
    bare_facts,
    bare_agent,
)
