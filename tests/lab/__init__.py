# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab of real KVM hosts on one machine, for tests, demo and benchmarks; see README.md."""

from __future__ import annotations

from .guest.guest import Guest
from .guest.shapes import SHAPES, Disk, Shape
from .host import Host
from .lab import Lab
from .records import Verdict
from .shell import LabError
from .watcher import Watcher

__all__ = ["SHAPES", "Disk", "Guest", "Host", "Lab", "LabError", "Shape", "Verdict", "Watcher"]
