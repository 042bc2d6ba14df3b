# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m tests.lab`."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
