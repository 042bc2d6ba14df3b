# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A file that nobody sees under its name before it is complete, and the step that makes several such files visible."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.statefile import FileLock

#: Locks of the images that are being written.
LOCKS = "/run/virtops-kvm/images"
_MODE = 0o600
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV)


def _key(path: str) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]


def partial_path(path: str) -> str:
    """The name that the file bears until it is complete: always the same one, so that a later run finds what an earlier left."""
    return f"{path}.partial-{_key(path)}"


def replaced_path(path: str) -> str:
    """The second name of the file that is being replaced, for the case that it has to come back."""
    return f"{path}.replaced-{_key(path)}"


class Partial:
    """An empty file to be filled. What a killed run left under its name is thrown away; a run that lives is respected."""

    def __init__(self, path: str, locks: str = LOCKS) -> None:
        self.final = path
        self.path = partial_path(path)
        self.descriptor = -1
        # Not a lock on the file itself: on NFS that would keep QEMU from it.
        self._lock = FileLock(f"{locks}/{_key(path)}.lock")
        if not self._lock.try_acquire():
            raise KvmError(
                "IMAGE_BUSY",
                f"Another run on this host is writing {path} just now (as {self.path}). Let it finish, and run again.",
                path=path,
            )
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            self.descriptor = os.open(self.path, flags, _MODE)
            os.fchmod(self.descriptor, _MODE)
        except BaseException:
            self.discard()
            raise

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, *unused_details: object) -> None:
        self.discard()

    def write_text(self, text: str, mode: int) -> None:
        """Fill it, durably."""
        os.write(self.descriptor, text.encode("utf-8"))
        os.fchmod(self.descriptor, mode)
        os.fsync(self.descriptor)

    def show(self) -> None:
        """Give it its final name."""
        os.replace(self.path, self.final)
        self._close()

    def discard(self) -> None:
        """Remove it, unless it has become visible; harmless twice."""
        if self.descriptor >= 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        self._close()

    def _close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        self._lock.release()


def sync_folder(path: str) -> None:
    """Make the names in the folder of ``path`` durable."""
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Publication:
    """Several complete files become visible, or none: ``show`` each, then ``keep``; ``undo`` takes all back."""

    def __init__(self) -> None:
        self._undo: list[t.Callable[[], None]] = []
        self._spare: list[str] = []

    def show(self, partial: Partial) -> None:
        """Give a complete file its name; what was there keeps a second name until all is done."""
        final, spare = partial.final, replaced_path(partial.final)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(spare)
        had = os.path.lexists(final)
        if had:
            self._link(final, spare)
        partial.show()
        if had:
            self._spare.append(spare)
            self._undo.append(lambda: os.replace(spare, final))
        else:
            self._undo.append(lambda: os.unlink(final))
        sync_folder(final)

    @staticmethod
    def _link(final: str, spare: str) -> None:
        """A second name; where the file system has none, a second file would be too much: then it cannot come back."""
        try:
            os.link(final, spare, follow_symlinks=False)
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise

    def keep(self) -> None:
        """It is done: what was replaced is gone."""
        for path in self._spare:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def undo(self) -> None:
        """Everything is as it was before."""
        for step in reversed(self._undo):
            with contextlib.suppress(OSError):
                step()
        self._undo = []
