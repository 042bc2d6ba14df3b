# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The NFS server of this host: its files, its table, and exportfs, which alone changes the table."""

from __future__ import annotations

import os
import re
import socket
import stat
import tempfile
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.statefile import remove, write_bytes
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.holders import Usage, read_usage
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.plan import FOLDER, MAIN, Document, Edit
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.syntax import Entry, parse, render
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.table import Row, parse_table

_SECONDS = 120.0
#: The mount is seen by this shell and what it becomes alone.
_TRIAL = 'mount --bind "$1" /var/lib/nfs && exec exportfs -s'


class Resolver:
    """Asks the host's own resolver, as exportfs does; each name once."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str | None, tuple[str, ...]]] = {}

    def _look(self, name: str) -> tuple[str | None, tuple[str, ...]]:
        if name not in self._found:
            try:
                answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
            except OSError:
                self._found[name] = (None, ())
            else:
                self._found[name] = (answers[0][3] or name, tuple(str(answer[4][0]) for answer in answers))
        return self._found[name]

    def canonical(self, name: str) -> str | None:
        """The canonical name of the host ``name``; None where it cannot be resolved."""
        return self._look(name)[0]

    def addresses(self, name: str) -> t.Sequence[str]:
        """The addresses of the host ``name``."""
        return self._look(name)[1]

    def names_of(self, address: str) -> t.Sequence[str]:
        """The names that belong to ``address``."""
        try:
            found = socket.gethostbyaddr(address)
        except OSError:
            return ()
        return (found[0], *found[1])


class Server:
    """What the modules need of it."""

    def __init__(self) -> None:
        self.names = Resolver()

    def documents(self) -> tuple[Document, ...]:
        """The files in the order in which exportfs reads them. Raises EXPORTS_DAMAGED."""
        try:
            extra = [name for name in os.listdir(FOLDER) if name.endswith(".exports") and not name.startswith(".")]
        except FileNotFoundError:
            extra = []
        files = [MAIN, *(os.path.join(FOLDER, name) for name in sorted(extra, key=_version))]
        found = []
        for file in files:
            data = _read(file)
            if data is not None:
                found.append(Document(file, data, parse(data, file)))
        return tuple(found)

    def table(self) -> tuple[Row, ...]:
        """What is in force."""
        return parse_table(
            command.check(
                ["exportfs", "-s"], "EXPORTFS_FAILED", "Reading the table of exports", timeout=_SECONDS
            ).stdout
        )

    def trial(self, entry: Entry) -> tuple[str, tuple[Row, ...]]:
        """What this host's exportfs makes of ``entry`` when it is only shown it: in a world of its own it finds it in its table. Gives
        what it says and what it prints; nothing where no such world can be had."""
        with tempfile.TemporaryDirectory(prefix="virtops-exports-") as folder:
            write_bytes(os.path.join(folder, "etab"), render(entry) + b"\n")
            done = command.run(["unshare", "--mount", "--", "sh", "-c", _TRIAL, "sh", folder], timeout=_SECONDS)
        return (_complaints(done.stderr), parse_table(done.stdout)) if done.status == 0 else ("", ())

    def usage(self) -> Usage:
        """Who uses the server."""
        return read_usage()

    def device(self, path: str) -> tuple[int, int] | None:
        """The device that ``path`` lies on; None where there is nothing."""
        try:
            number = os.stat(path).st_dev
        except OSError:
            return None
        return os.major(number), os.minor(number)

    def is_folder(self, path: str) -> bool | None:
        """Whether ``path`` is a folder; None where there is nothing."""
        try:
            return stat.S_ISDIR(os.stat(path).st_mode)
        except OSError:
            return None

    def real(self, path: str) -> str:
        """``path`` without links."""
        return os.path.realpath(path)

    def host(self) -> str:
        """The name of this host."""
        return os.uname().nodename

    def apply(self, edits: t.Sequence[Edit], wrong: t.Callable[[], t.Sequence[str]]) -> None:
        """Write the files and have exportfs take them in. Where ``wrong`` then still finds something, all is put back."""
        written: list[Edit] = []
        try:
            for edit in edits:
                written.append(edit)
                _put(edit.file, edit.after)
            said = self._export()
            left = wrong()
        except (KvmError, OSError) as exc:
            self._put_back(written)
            if isinstance(exc, OSError):
                raise KvmError(
                    "EXPORTS_UNWRITABLE", f"The exports cannot be written: {exc}; nothing was changed."
                ) from exc
            raise
        if left:
            self._put_back(written)
            raise KvmError(
                "EXPORT_REJECTED",
                f"exportfs on {self.host()} did not bring into force what was asked: {'; '.join(left)}. It said: {said or 'nothing'}. "
                + ("The files were put back." if written else ""),
                exportfs=said,
                missing=list(left),
            )

    def _put_back(self, written: t.Sequence[Edit]) -> None:
        for edit in written:
            _put(edit.file, edit.before)
        if written:
            self._export()

    def _export(self) -> str:
        """Take in the files; gives what exportfs said. Its status tells of any entry of any file, so it decides nothing."""
        done = command.run(["exportfs", "-ra"], timeout=_SECONDS)
        return _complaints(done.stderr)


def _complaints(text: str) -> str:
    said = " ".join(line for line in text.splitlines() if line.strip() and "to avoid warning" not in line)
    return said[-1000:]


def _version(name: str) -> list[tuple[int, str]]:
    """Numbers in names count as numbers, as in exportfs."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _read(file: str) -> bytes | None:
    try:
        with open(file, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise KvmError(
            "EXPORTS_UNREADABLE", f"{file} cannot be read: {exc}; run the module as root.", file=file
        ) from exc


def _put(file: str, data: bytes | None) -> None:
    if data is None:
        remove(file)
        return
    try:
        mode = stat.S_IMODE(os.stat(file).st_mode)
    except FileNotFoundError:
        mode = 0o644
    # A link to a file elsewhere stays a link.
    write_bytes(os.path.realpath(file), data, mode)
