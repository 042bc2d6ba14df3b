# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of qemu_migration: that of domain_migration, for guest processes."""

from __future__ import annotations

from ansible_collections.virtops.kvm.plugins.action import domain_migration


class ActionModule(domain_migration.ActionModule):
    """Runs the module directly in check mode, and in the background otherwise."""

    MODULE = "virtops.kvm.qemu_migration"
    NOUN = "guest"
