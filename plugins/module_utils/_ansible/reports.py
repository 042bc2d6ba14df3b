# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The files of a report on the controller: read to see whether they differ, written whole or not at all."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import statefile
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change

_MODE = 0o644


class ReportFiles:
    """The controller's files."""

    def read(self, path: str) -> str | None:
        """The text at ``path``, None where there is none."""
        try:
            with open(path, encoding="utf-8") as stream:
                return stream.read()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            raise KvmError("REPORT_UNWRITABLE", f"The old report {path} cannot be read: {exc}.", path=path) from exc

    def write(self, path: str, text: str) -> None:
        """Put ``text`` to ``path``, whole or not at all."""
        try:
            statefile.write_text(path, text, _MODE)
        except OSError as exc:
            raise KvmError(
                "REPORT_UNWRITABLE",
                f"The report {path} cannot be written: {exc.strerror}; the hosts themselves are not affected. Choose another directory.",
                path=path,
            ) from exc


def keep(
    files: ReportFiles, wanted: t.Mapping[str, tuple[str, str]], *, check_mode: bool, always: bool = False
) -> tuple[Change, ...]:
    """Write those of the ``wanted`` texts (path and text by their kind) that differ from the files, and say which; in check mode only say.

    With ``always`` they count as different whatever the files hold. Raises KvmError REPORT_UNWRITABLE.
    """
    differing = {path: text for path, text in wanted.values() if always or files.read(path) != text}
    if not check_mode:
        for path, text in differing.items():
            files.write(path, text)
    return tuple(Change(path, "write", None, "written") for path in differing)
