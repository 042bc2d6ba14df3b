# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The program of the receiving end of disks, as ``remote`` sends it."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import clock as clock_module
from ansible_collections.virtops.kvm.plugins.module_utils._core import command, errors, mounts, serving
from ansible_collections.virtops.kvm.plugins.module_utils._disk import (
    agent,
    agentfiles,
    agentimage,
    device,
    digest,
    fine,
    inuse,
    keyed,
    nbdread,
    qemunbd,
    receive,
    stream,
    wire,
)

#: What the receiving end is made of; each only needs what stands before it.
SHIPPED: tuple[t.Any, ...] = (
    errors,
    clock_module,
    command,
    mounts,
    serving,
    digest,
    fine,
    keyed,
    wire,
    nbdread,
    qemunbd,
    device,
    stream,
    receive,
    inuse,
    agentimage,
    agentfiles,
    agent,
)
