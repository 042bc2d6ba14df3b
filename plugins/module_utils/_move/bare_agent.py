# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The end of a guest process's move on the destination. It lives as long as the connection; the guest that it starts outlives it.

Shipped to the destination as text, and run there by ``python3 -c``: the standard library only. It makes images and folders, starts the
waiting QEMU, speaks with its monitor, keeps the record, and removes or ends what the record says that this move made, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command, statefile
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock, wait_until
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.serving import Request, Value, answer, hello, serve
from ansible_collections.virtops.kvm.plugins.module_utils._move import (
    bare_domain,
    bare_facts,
    bare_host,
    bare_restore,
    bare_unit,
)
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import departed, processes, session, words

RUN_DIR = "/run/virtops-kvm"
#: Ours, so that neither a firewall nor libvirt's guests are in the way more than with domains.
PORTS = range(49152, 49216)
_LOOK_SECONDS = 5.0
_SETTLED_SECONDS = 1.0
_START_SECONDS = 60.0
_PROGRAM_SECONDS = 60.0

Record = dict[str, t.Any]


class Agent:
    """All that this end holds."""

    def __init__(self, say: t.Callable[[Request], None], state: str = departed.STATE_DIR, run: str = RUN_DIR) -> None:
        self._say = say
        self._state = state
        self._run = run
        self._clock = Clock()
        self._lock: statefile.FileLock | None = None
        self._ports: list[statefile.FileLock] = []
        self._place: statefile.FileLock | None = None
        self._session: session.Session | None = None
        self._arrival = bare_restore.Arrival(self._clock)
        self._verbs: dict[str, t.Callable[..., Value]] = {
            "hello": hello,
            "tick": lambda: None,
            "look": self._look,
            "facts": lambda **wanted: bare_facts.facts(self._state, **wanted),
            "emulator": bare_facts.emulator,
            "claim": self._claim,
            "has_libvirt": bare_host.has_libvirt,
            "place": self._take_place,
            "record": self._write,
            "folder": self._folder,
            "clear_way": self._clear_way,
            "image": self._image,
            "start": self._start,
            "ask": self._ask,
            "ask_all": self._ask_all,
            "settled": self._settled,
            "free_ports": self._free_ports,
            "unit_write": bare_unit.write,
            "domain_define": bare_domain.define,
            "domain_start": bare_domain.start,
            "domain_resume": bare_domain.resume,
            "domain_tree": bare_domain.tree,
            "domain_receive": self._receive,
            "domain_arrived": self._arrival.arrived,
            "kill": self._kill,
            "end_process": self._end_process,
            "undo": self._undo,
        }

    def handle(self, request: Request) -> None:
        """Answer one request, in this thread: what starts programs stays in it."""
        self._say(answer(self._verbs, request))

    def close(self) -> None:
        """Let go; the guest stays."""
        if self._session is not None:
            self._session.close()
        self._arrival.close()
        for lock in filter(None, (self._lock, self._place, *self._ports)):
            lock.release()

    # ---- the record ----

    def _path(self, key: str) -> str:
        return os.path.join(self._state, "moves", f"incoming-{key}.json")

    def _claim(self, key: str) -> bool:
        """Whether nobody else moves this guest to here."""
        if self._lock is not None:
            return True
        lock = statefile.FileLock(os.path.join(self._run, "locks", f"incoming-{key}.lock"))
        if not lock.try_acquire():
            return False
        self._lock = lock
        return True

    def _take_place(self, count: int) -> bool:
        """Whether this move is one of ``count`` that may come here at a time; it is until its connection ends."""
        for number in range(count) if self._place is None else ():
            place = statefile.FileLock(os.path.join(self._run, "slots", f"incoming-{number}"))
            if place.try_acquire():
                self._place = place
                break
        return self._place is not None

    def _write(self, key: str, record: Record) -> None:
        statefile.write_json(self._path(key), record)
        if record["stage"] == "done":
            # The guest is this host's now, also where it had left here before.
            departed.came_back(record["name"], record["uuid"], self._state)
            if record.get("domain"):
                # The pipe and the monitor by which it came: a domain has its own.
                shutil.rmtree(os.path.dirname(record["socket"]), ignore_errors=True)

    def _read(self, key: str) -> Record | None:
        return t.cast("Record | None", statefile.read_json(self._path(key)))

    # ---- looking ----

    def _look(self, key: str, name: str, uuid: str) -> Value:
        """The record, the process that it names, and every other guest with this name or UUID."""
        record, ours = self._read(key), None
        pids = {pid for wanted in filter(None, (name, uuid)) for pid in processes.guests(wanted)}
        if record is not None and record["stage"] not in ("undone",):
            ours = self._ours(record)
        if ours and ours["alive"]:
            pids.discard(ours["pid"])
        return {"record": record, "ours": ours, "others": [self._other(pid) for pid in sorted(pids)]}

    def _ours(self, record: Record) -> Value:
        """Where the process that this move started is. Where it was killed before the pid was written, its unit tells it."""
        domain = self._arrival.seen(record) if record.get("domain") else None
        if domain:
            return domain
        seen = self._process(record)
        return {**seen, **self._states(record.get("socket", ""))} if seen["alive"] else seen

    def _process(self, record: Record) -> Value:
        """The process alone, whatever libvirt has of the guest."""
        there = list(record.get("there") or ())
        if not there and record.get("unit"):
            there = self._by_unit(record["unit"], record.get("socket", ""))
        if not there:
            return {"pid": 0, "start": "", "alive": False}
        pid, start, boot = int(there[0]), there[1], there[2]
        alive = boot == processes.boot_id() and processes.is_alive(pid, start)
        return {"pid": pid, "start": start, "alive": alive}

    def _by_unit(self, unit: str, path: str) -> list[str]:
        """The process that has our socket in its command line, which no other has, else the one of a unit."""
        found = (
            [one for one in bare_host.pids() if any(path in word for word in processes.argv_of(one)[1:])]
            if path
            else []
        )
        pid = found[0] if found else 0
        if not pid and bare_host.has_systemd():
            done = command.run(["systemctl", "show", "-P", "MainPID", unit], timeout=_PROGRAM_SECONDS)
            pid = int(done.stdout.strip() or 0) if done.status == 0 and done.stdout.strip().isdigit() else 0
        start = processes.start_time(pid) if pid else ""
        return [str(pid), start, processes.boot_id()] if start else []

    def _states(self, path: str) -> dict[str, str]:
        try:
            monitor = self._monitor(path)
            state = monitor.execute("query-status", timeout=_LOOK_SECONDS)["status"]
            migration = monitor.execute("query-migrate", timeout=_LOOK_SECONDS).get("status", "")
        except KvmError as exc:
            return {"state": "", "migration": "", "error": exc.message}
        return {"state": state, "migration": migration, "error": ""}

    def _other(self, pid: int) -> Value:
        argv = processes.argv_of(pid)
        seen = {
            "pid": pid,
            "start": processes.start_time(pid),
            "name": words.name_of(argv),
            "uuid": words.uuid_of(argv),
            "state": "unknown",
            "libvirt": processes.is_libvirts(argv),
        }
        for kind, address in words.monitors_of(argv):
            if kind == "qmp":
                with contextlib.suppress(KvmError), session.connect(address, timeout=_LOOK_SECONDS) as monitor:
                    return {**seen, "state": monitor.execute("query-status", timeout=_LOOK_SECONDS)["status"]}
        return seen

    # ---- making ----

    def _folder(self, path: str, owner: str = "") -> bool:
        """Make a folder for whom QEMU runs as, for it makes its pidfile and sockets itself; false where it is there."""
        if os.path.isdir(path):
            return False
        os.makedirs(path, mode=0o755)
        bare_host.give(path, owner)
        return True

    def _clear_way(self, path: str) -> None:
        """Remove an old image that nobody has open. Raises IMAGE_IN_USE."""
        if not os.path.lexists(path):
            return
        if bare_host.opened(path):
            raise KvmError(
                "IMAGE_IN_USE", f"{path} on {socket.gethostname()} is in the way, and a process uses it.", path=path
            )
        os.unlink(path)

    def _image(self, path: str, image_format: str, size: int, owner: str, backing: str, backing_format: str) -> None:
        """Make an image where nothing is. Raises IMAGE_EXISTS."""
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError as exc:
            raise KvmError("IMAGE_EXISTS", f"{socket.gethostname()} has {path} already.", path=path) from exc
        base = ["-b", backing, "-F", backing_format] if backing else []
        what = f"Creating {path} on {socket.gethostname()}"
        words_of = ["qemu-img", "create", "-q", "-f", image_format, *base, path, str(size)]
        command.check(words_of, "DESTINATION_FAILED", what, timeout=_PROGRAM_SECONDS)
        bare_host.give(path, owner)

    def _free_ports(self, address: str, count: int) -> list[int]:
        """Ports on which nobody listens now; they are this move's until its connection ends, as another may look before QEMU listens."""
        found: list[int] = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for port in PORTS:
            lock = statefile.FileLock(os.path.join(self._run, "locks", f"port-{port}.lock"))
            if not lock.try_acquire():
                continue
            self._ports.append(lock)
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with contextlib.suppress(OSError):
                    probe.bind((address, port))
                    probe.listen(1)
                    found.append(port)
            if len(found) == count:
                return found
        raise KvmError(
            "PORT_TAKEN",
            f"On {socket.gethostname()} nothing is free of the ports {PORTS[0]} to {PORTS[-1]} at {address}.",
            address=address,
        )

    def _start(self, key: str, argv: t.Sequence[str], user: str) -> list[str]:
        """Start the waiting guest and give who it is. Raises DESTINATION_FAILED with QEMU's words where it ends."""
        record = t.cast("Record", self._read(key))
        log, path = record["log"], record["socket"]
        bare_host.launch(record["unit"], argv, user, log, path)
        there = wait_until(
            self._clock,
            lambda: self._by_unit(record["unit"], path) or bare_host.has_spoken(log),
            bool,
            what=f"QEMU to start on {socket.gethostname()}",
            timeout=_START_SECONDS,
            interval=0.02,
        )
        if not isinstance(there, list):
            raise self._refused(log)
        self._write(key, {**record, "there": there})
        wait_until(
            self._clock,
            lambda: self._speaks(path) or not processes.is_alive(int(there[0]), there[1]),
            bool,
            what=f"the monitor of QEMU on {socket.gethostname()}",
            timeout=_START_SECONDS,
            interval=0.01,
        )
        if not self._speaks(path):
            raise self._refused(log)
        return there

    def _speaks(self, path: str) -> bool:
        """Whether somebody hears at the monitor. QEMU makes the socket a moment before it listens there."""
        try:
            self._monitor(path)
        except KvmError as exc:
            if exc.error_code != "MONITOR_GONE":
                raise
            return False
        return True

    def _refused(self, log: str) -> KvmError:
        with open(log, encoding="utf-8", errors="replace") as stream:
            lines = [line.strip() for line in stream if line.strip()]
        reason = lines[-1] if lines else "it ended without a word"
        taken = "already in use" in reason or "Failed to find an available port" in reason
        return KvmError(
            "PORT_TAKEN" if taken else "DESTINATION_FAILED",
            f"QEMU does not start on {socket.gethostname()}: {reason}",
            log=lines[-20:],
        )

    def _receive(self, key: str, **place: t.Any) -> None:
        """Let libvirt wait for the stream of the guest that the record is about."""
        self._arrival.receive(t.cast("Record", self._read(key)), **place)

    # ---- speaking with it ----

    def _monitor(self, path: str) -> session.Session:
        if self._session is None or self._session.address.path != path:
            if self._session is not None:
                self._session.close()
            self._session = None
            self._session = session.connect(path, timeout=_LOOK_SECONDS)
        return self._session

    def _ask(self, path: str, asked: str, arguments: t.Any = None, seconds: float = 15.0) -> Value:
        """One command of the guest's monitor."""
        return self._monitor(path).execute(asked, arguments, timeout=seconds)

    def _ask_all(self, path: str, asked: t.Sequence[t.Sequence[t.Any]]) -> list[Value]:
        """Several commands of the guest's monitor."""
        return [self._ask(path, *one) for one in asked]

    def _settled(self, path: str, states: t.Sequence[str], migrations: t.Sequence[str] = ()) -> Value:
        """Wait a moment for the guest to be in one of the run states, and its migration in one of its own, where some are given."""
        monitor = self._monitor(path)
        end = self._clock.monotonic() + _SETTLED_SECONDS
        while True:
            status = monitor.execute("query-status", timeout=_LOOK_SECONDS)["status"]
            migration = monitor.execute("query-migrate", timeout=_LOOK_SECONDS).get("status", "") if migrations else ""
            settled = status in states and (not migrations or migration in migrations)
            if settled or self._clock.monotonic() >= end:
                return {"settled": settled, "status": status, "migration": migration}
            monitor.pause(0.01, ("MIGRATION", "RESUME", "STOP"))

    # ---- taking back ----

    def _kill(self, key: str) -> bool:
        """End the guest that this move started; true when it is proven to be gone."""
        record = self._read(key)
        if record is None:
            return True
        if record.get("domain") and not self._arrival.end(record):
            return False
        return self._end_process(key)

    def _end_process(self, key: str) -> bool:
        """End the process that this move started, and no domain; true when it is proven to be gone."""
        record = self._read(key)
        if record is None:
            return True
        ours = self._process(record)
        return not ours["alive"] or processes.kill(ours["pid"], ours["start"], self._clock)

    def _undo(self, key: str) -> list[str]:
        """Remove what this move made; gives what could not be removed. The guest must be gone."""
        record, left = self._read(key), []
        if record is None:
            return []
        if not self._kill(key):
            return [f"process {record.get('there')}"]
        if record.get("unit_file"):
            bare_unit.remove(record["source_unit"], record["unit_file"])
        if record.get("defined"):
            why = bare_domain.forget(record["uuid"])
            left += [f"domain {record['uuid']} ({why})"] if why else []
        if record.get("unit") and bare_host.has_systemd():
            command.run(["systemctl", "stop", record["unit"]], timeout=_PROGRAM_SECONDS)
        bare_host.give_back(record.get("owners") or {})
        for path in record.get("images") or ():
            if not path.startswith("/dev/"):
                try:
                    statefile.remove(path)
                except OSError as exc:
                    left.append(f"{path} ({exc.strerror})")
        for path in reversed(record.get("folders") or ()):
            with contextlib.suppress(OSError):
                os.rmdir(path)
        if record.get("socket"):
            shutil.rmtree(os.path.dirname(record["socket"]), ignore_errors=True)
        self._write(key, {**record, "stage": "undone", "images": left, "folders": []})
        return left


def main() -> None:
    """Serve until the connection closes, falls silent, or a signal comes."""
    serve(Agent)
