# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Where a move keeps its records on the source host: journal, locks, progress, and the request to abort."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile

from ansible_collections.virtops.kvm.plugins.module_utils._core import statefile
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.bare import BareJournal
from ansible_collections.virtops.kvm.plugins.module_utils._model.codec import from_data, to_data
from ansible_collections.virtops.kvm.plugins.module_utils._model.move import Journal, Progress

STATE_DIR = "/var/lib/virtops-kvm"
RUN_DIR = "/run/virtops-kvm"
#: For how many seconds nothing may be heard of a controller whose move ends with it.
CONTROLLER_SILENCE = 60.0
#: Where to read how long this host runs, on which the controller's half and the move agree whatever the clock does.
UPTIME = "/proc/uptime"


@dataclasses.dataclass(frozen=True)
class Workspace:
    """The two roots: ``state`` survives a reboot, ``run`` does not."""

    state: str = STATE_DIR
    run: str = RUN_DIR

    def journal_path(self, uuid: str) -> str:
        """The journal of the last move of this domain."""
        return os.path.join(self.state, "moves", f"{uuid}.json")

    def read_journal(self, uuid: str) -> Journal | None:
        """The last move of this domain from here; None where there was none. Raises STATE_UNREADABLE for a damaged record."""
        path = self.journal_path(uuid)
        data = statefile.read_json(path)
        if data is None:
            return None
        try:
            return from_data(Journal, data)
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise KvmError(
                "STATE_UNREADABLE", f"The journal {path} cannot be understood ({exc}); look at it.", path=path
            ) from exc

    def write_journal(self, journal: Journal) -> None:
        """Write the journal, durably: what follows may rely on it."""
        statefile.write_json(self.journal_path(journal.uuid), to_data(journal))

    def guest_path(self, key: str) -> str:
        """The record of the last move of this guest process from here."""
        return os.path.join(self.state, "moves", f"guest-{key}.json")

    def read_guest(self, key: str) -> BareJournal | None:
        """That record; None where there is none. Raises STATE_UNREADABLE for a damaged one."""
        path = self.guest_path(key)
        data = statefile.read_json(path)
        try:
            return None if data is None else from_data(BareJournal, data)
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise KvmError(
                "STATE_UNREADABLE", f"The journal {path} cannot be understood ({exc}); look at it.", path=path
            ) from exc

    def write_guest(self, journal: BareJournal) -> None:
        """Write that record, durably."""
        statefile.write_json(self.guest_path(journal.key), to_data(journal))

    def lock(self, uuid: str) -> statefile.FileLock:
        """The lock of one domain: its owner is the one that moves it."""
        return statefile.FileLock(os.path.join(self.run, "locks", f"{uuid}.lock"))

    def slots(self, count: int, *, ending: bool = False) -> list[statefile.FileLock]:
        """The slots for moves away from this host, or for those that are in their last phase."""
        kind = "ending" if ending else "slot"
        return [statefile.FileLock(os.path.join(self.run, "slots", f"{kind}-{number}")) for number in range(count)]

    def progress_path(self, progress_id: str) -> str:
        """Where the progress of a move is told."""
        return os.path.join(self.run, "progress", f"{progress_id}.json")

    def abort_path(self, progress_id: str) -> str:
        """The file whose existence asks the move to end."""
        return os.path.join(self.run, "progress", f"{progress_id}.abort")

    def write_progress(self, progress_id: str, progress: Progress, *, finished: bool = False) -> None:
        """Tell the progress: whole or not at all, but without syncing, because it is worth nothing after a crash."""
        path = self.progress_path(progress_id)
        folder = os.path.dirname(path)
        os.makedirs(folder, mode=0o755, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=folder, prefix=".", suffix=".partial")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(dict(to_data(progress), finished=finished), stream, ensure_ascii=False)
        os.replace(partial, path)

    def alive_path(self, progress_id: str) -> str:
        """The file in which the controller's half writes again and again for how long this host runs. Where it exists, the move is to
        end with its controller."""
        return os.path.join(self.run, "progress", f"{progress_id}.alive")

    def expect_controller(self, progress_id: str) -> None:
        """From now on the move is to end when its controller is not heard of any more."""
        path = self.alive_path(progress_id)
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(_read(UPTIME))

    def wish_to_end(self, progress_id: str) -> str:
        """Why the move is to end; empty while nobody wants that."""
        if os.path.exists(self.abort_path(progress_id)):
            return "the controller asked for it"
        silent = silence(_read(self.alive_path(progress_id)), _read(UPTIME))
        return f"nothing was heard of the controller for {silent:.0f} s" if silent > CONTROLLER_SILENCE else ""

    def forget_wishes(self, progress_id: str) -> None:
        """Remove what asked the move to end, or would."""
        statefile.remove(self.abort_path(progress_id))
        statefile.remove(self.alive_path(progress_id))


def silence(heard: str, now: str) -> float:
    """Seconds between two readings of ``UPTIME``. What cannot be read, as while it is being written, counts as just heard."""
    try:
        return float(now.split()[0]) - float(heard.split()[0])
    except (ValueError, IndexError):
        return 0.0


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except OSError:
        return ""


def check_progress_id(progress_id: str) -> str:
    """``progress_id`` if it can be a file name. Raises InputError."""
    if not progress_id or len(progress_id) > 100 or not all(char.isalnum() or char in "-_" for char in progress_id):
        raise InputError(
            "progress_id", f"The progress_id '{progress_id}' must be letters, digits, '-' and '_' (at most 100)."
        )
    return progress_id
