# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Argument specifications that several modules share, one function per doc fragment."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import LOCAL_URI
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import COMPRESSIONS, ON_CONTROLLER_LOSS
from ansible_collections.virtops.kvm.plugins.module_utils._model.service import (
    DEFAULT_INTERVAL,
    DEFAULT_TIMEOUT,
    KINDS,
)


def connection_spec() -> dict[str, t.Any]:
    """The options of the doc fragment _connection; must be kept in step with it."""
    return {"uri": {"type": "str", "default": LOCAL_URI}}


def moving_spec() -> dict[str, t.Any]:
    """The options of the doc fragment _moving; must be kept in step with it."""
    return {
        "bandwidth": {"type": "int", "default": 0},
        "auto_converge": {"type": "bool", "default": False},
        "parallel_connections": {"type": "int", "default": 0},
        "compression": {"type": "str", "choices": list(COMPRESSIONS), "default": "none"},
        "source_slots": {"type": "int", "default": 2},
        "destination_slots": {"type": "int", "default": 2},
        "service": {"type": "dict", "options": _service_spec()},
        "on_controller_loss": {"type": "str", "choices": list(ON_CONTROLLER_LOSS), "default": "finish"},
        "settle_only": {"type": "bool", "default": False},
        "progress_id": {"type": "str"},
        "progress_interval": {"type": "float", "default": 5},
    }


def policies_spec() -> dict[str, t.Any]:
    """The options of the doc fragment _policies; must be kept in step with it."""
    return {"policies": {"type": "list", "elements": "dict", "default": []}}


def _service_spec() -> dict[str, t.Any]:
    return {
        "type": {"type": "str", "choices": list(KINDS), "required": True},
        "address": {"type": "str"},
        "port": {"type": "int"},
        "url": {"type": "str"},
        "interval": {"type": "float", "default": DEFAULT_INTERVAL},
        "timeout": {"type": "float", "default": DEFAULT_TIMEOUT},
    }


def stopping_spec() -> dict[str, t.Any]:
    """The options of the doc fragment _stopping; must be kept in step with it."""
    # Not for those who only move: the room of plans is large.
    from ansible_collections.virtops.kvm.plugins.module_utils._placement.options import MOVE, SHUT_OFF

    return {
        "shut_off": {"type": "str", "choices": list(SHUT_OFF), "default": MOVE},
        "may_stop": {"type": "str"},
        "max_stop": {"type": "float", "default": 0.0},
    }
