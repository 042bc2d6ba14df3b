# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds what most labs stand on before one asks for it: `python3 -m tests.lab.ahead`. Labs would wait for it, and for each other."""

from __future__ import annotations

import sys

from .barehost import bare_rootfs
from .guest.assets import assets
from .rootfs import rootfs
from .shell import LabError, install_needed
from .vm.tree import base_image

SUITE = "trixie"


def main() -> int:
    try:
        install_needed()
        assets()
        rootfs(SUITE)
        base_image(SUITE)
        bare_rootfs(SUITE)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
