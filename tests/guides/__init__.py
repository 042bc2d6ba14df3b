# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps the guides true: every block of code in docs/docsite/rst says by a comment in front of it which test runs it."""
