# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A running guest process becomes a domain: libvirt restores a saved guest whose file is a pipe, and into that goes what QEMU sends.

A save file of libvirt's is a header, the definition, and the stream of a migration. libvirt reads it from the begin to the end, so the
stream may still be made while it is read. The domain stands still until somebody lets it run; where the stream breaks off, libvirt ends it.
Shipped to the destination with the agent: the standard library only.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import socket
import ssl
import termios
import threading
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.savefile import save_header
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_domain

#: libvirt opens the file once for the definition and once for the guest, and reads the header each time (src/qemu/qemu_saveimage.c).
#: Older ones opened it once.
FIRST_VERSION = (11, 2)
_READS = 2
_READY_SECONDS = 60.0
_END_SECONDS = 60.0
_POLL = 0.01
_CHUNK = 1 << 20
_PIPE = "restore"

Record = dict[str, t.Any]


class Restore:
    """One domain that waits for its stream at ``port`` of ``address``. Closing it before the stream has ended ends the domain, too."""

    def __init__(self, folder: str, uuid: str, xml: str, place: tuple[str, int], tls_dir: str, clock: Clock) -> None:
        self._clock = clock
        self._uuid = uuid
        self._pipe = -1
        self._connection: socket.socket | None = None
        self._said = ""
        self._tls = _context(tls_dir) if tls_dir else None
        path = os.path.join(folder, _PIPE)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.mkfifo(path, 0o600)
        self._listener = socket.socket(socket.AF_INET6 if ":" in place[0] else socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind(place)
            self._listener.listen(1)
        except OSError as exc:
            self._listener.close()
            raise KvmError(
                "PORT_TAKEN",
                f"On {socket.gethostname()} nothing can listen at {place[0]} port {place[1]}: {exc.strerror}.",
            ) from exc
        self._virsh = command.Process(["virsh", "-q", "-c", "qemu:///system", "restore", "--paused", path])
        self._thread = threading.Thread(target=self._carry, daemon=True)
        try:
            self._begin(path, save_header(xml))
        except (KvmError, OSError) as exc:
            self.close()
            raise bare_domain.failed("restore the domain", self.failed() or str(exc)) from exc
        self._thread.start()

    def ended(self) -> bool:
        """Whether libvirt has done with it, well or not."""
        return self._virsh.poll() is not None

    def failed(self) -> str:
        """Why libvirt did not restore it; empty where it has, or is still at it."""
        if not self._virsh.poll():
            return ""
        # What it wrote can be read once.
        self._said = self._said or self._virsh.last_words()
        lines = [line.strip() for line in self._said.splitlines() if line.strip()]
        return lines[-1].replace("error: ", "", 1) if lines else "it ended without a word"

    def close(self) -> bool:
        """No more of the stream comes. Tells whether libvirt has done with it."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._thread.is_alive():
            with contextlib.suppress(OSError):
                if self._connection is not None:
                    self._connection.shutdown(socket.SHUT_RDWR)
            self._thread.join(_END_SECONDS)
        self._cut()
        return self._virsh.wait(_END_SECONDS) is not None

    # ---- the header ----

    def _begin(self, path: str, head: bytes) -> None:
        """Let libvirt read the header as often as it does, and see its QEMU wait."""
        self._wait(lambda: self._open(path))
        os.set_blocking(self._pipe, True)
        for _time in range(_READS):
            os.write(self._pipe, head)
            self._wait(lambda: not _unread(self._pipe))
        self._wait(lambda: bool(bare_domain.state(self._uuid)))

    def _open(self, path: str) -> bool:
        try:
            self._pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            # Nobody reads it yet.
            return False
        return True

    def _wait(self, done: t.Callable[[], bool]) -> None:
        end = self._clock.monotonic() + _READY_SECONDS
        while not done():
            if self.ended():
                raise KvmError("ADOPTION_FAILED", self.failed())
            if self._clock.monotonic() > end:
                raise KvmError("ADOPTION_FAILED", f"it did not begin within {_READY_SECONDS:g} s")
            self._clock.sleep(_POLL)

    # ---- the stream ----

    def _carry(self) -> None:
        """In a thread of its own: from the network into the pipe. Whatever ends it, libvirt sees the end of the pipe."""
        with contextlib.suppress(OSError):
            connection = self._connection = self._listener.accept()[0]
            self._listener.close()
            if self._tls is not None:
                connection = self._connection = self._tls.wrap_socket(connection, server_side=True)
            buffer = memoryview(bytearray(_CHUNK))
            with connection:
                count = connection.recv_into(buffer)
                while count:
                    _write_all(self._pipe, buffer[:count])
                    count = connection.recv_into(buffer)
        self._cut()

    def _cut(self) -> None:
        pipe, self._pipe = self._pipe, -1
        if pipe >= 0:
            os.close(pipe)


class Arrival:
    """The domain that a guest becomes on this host, as the record of its move has it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._restore: Restore | None = None

    def receive(self, record: Record, address: str, port: int, tls_dir: str) -> None:
        """Let libvirt wait for the guest's stream. Raises ADOPTION_FAILED with libvirt's words."""
        self._restore = Restore(
            _folder(record), record["uuid"], record["domain"], (address, port), tls_dir, self._clock
        )

    def arrived(self, uuid: str) -> dict[str, str]:
        """How the domain is, ``inmigrate`` while libvirt is not done with the stream; and why there is none."""
        waits = self._restore is not None and not self._restore.ended()
        state = "inmigrate" if waits else bare_domain.state(uuid)
        return {"state": state, "reason": self._restore.failed() if self._restore is not None else ""}

    def seen(self, record: Record) -> Record | None:
        """The domain as one looks at a process that a move started; None where there is none."""
        run, error = bare_domain.state(record["uuid"]), ""
        pid = 0 if run else bare_domain.process_of(record["uuid"])
        if run == bare_domain.ENDING:
            # As one looks for a moment that libvirt ends because its stream broke off, and one that has run as well.
            run, error = "", "its domain is being shut down."
        elif pid:
            error = f"libvirt does not tell of its domain, which has the process {pid}."
        if record["method"] == "offline" and run in ("paused", "inmigrate") and record["stage"] in ("switch", "verify"):
            # It was started so, and was not told to run yet.
            run = "prelaunch"
        if not run and not error:
            return None
        return {"pid": pid, "start": "", "alive": True, "state": run, "migration": "", "error": error}

    def end(self, record: Record) -> bool:
        """End the domain; true when it is proven that there is none, and that none comes of a stream that was begun."""
        with contextlib.suppress(OSError):
            # Where the one that fed the pipe is gone before libvirt had opened it, libvirt waits in vain no more.
            os.close(os.open(os.path.join(_folder(record), _PIPE), os.O_WRONLY | os.O_NONBLOCK))
        # Before the pipe is closed: QEMU may hang, and whoever feeds it waits.
        bare_domain.destroy(record["uuid"])
        if self._restore is not None and not self._restore.close():
            return False
        return bare_domain.destroy(record["uuid"])

    def close(self) -> None:
        """Let go: a domain whose stream has not ended ends."""
        if self._restore is not None:
            self._restore.close()


def _folder(record: Record) -> str:
    return os.path.join(os.path.dirname(record["socket"]), "domain")


def _context(folder: str) -> ssl.SSLContext:
    """As QEMU's own: both sides prove who they are."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, "server-cert.pem"), os.path.join(folder, "server-key.pem"))
    context.load_verify_locations(os.path.join(folder, "ca-cert.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    # QEMU reads nothing from a stream that it sends. What we said unasked would make its end a reset, which takes the last of it along.
    context.num_tickets = 0
    return context


def _unread(pipe: int) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def _write_all(pipe: int, data: memoryview) -> None:
    while data:
        data = data[os.write(pipe, data) :]
