# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The sender's view of the receiving end: starts it over ssh (or here), asks it, and notices when it is gone."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import secrets
import subprocess
import threading
import typing as t
import zlib

from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._core.command import Process
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk import digest, keyed
from ansible_collections.virtops.kvm.plugins.module_utils._disk.sshtarget import CONNECT_SECONDS, SshTarget

#: Gives the modules that a receiving end is made of; each only needs what stands before it, and the last has its main().
Shipped = t.Callable[[], t.Sequence[t.Any]]

TICK_SECONDS = 10.0
_HELLO_SECONDS = CONNECT_SECONDS + 40.0
_CLOSE_SECONDS = 75.0
#: Reads its own text from the standard input, so that nothing is left on the host.
_BOOT = "import sys, zlib; exec(zlib.decompress(sys.stdin.buffer.read(int(sys.stdin.buffer.readline()))))"
_LOAD = """
import sys, types
for name, text in {sources!r}:
    above = name.rpartition(".")[0]
    while above and above not in sys.modules:
        sys.modules[above] = types.ModuleType(above)
        sys.modules[above].__path__ = []
        above = above.rpartition(".")[0]
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
    setattr(sys.modules[name.rpartition(".")[0]], name.rpartition(".")[2], module)
module.main()
"""


def _of_disks() -> t.Sequence[t.Any]:
    """What the receiving end of disks is made of; loaded while ssh connects, and only by those who copy some."""
    from ansible_collections.virtops.kvm.plugins.module_utils._disk.shipped import SHIPPED

    return SHIPPED


def boot_text(shipped: t.Sequence[t.Any]) -> bytes:
    """What the receiving end reads first: its own program, whose last module has its main()."""
    sources = [(module.__name__, module.__spec__.loader.get_source(module.__name__)) for module in shipped]
    data = zlib.compress(_LOAD.format(sources=sources).encode("utf-8"), 9)
    return b"%d\n" % len(data) + data


class Remote:
    """A receiving end. Create it in a thread that lives as long as it; close it, best as a context manager."""

    def __init__(self, words: t.Sequence[str], label: str, target: SshTarget | None, shipped: Shipped) -> None:
        self.label = label
        self._shipped = shipped
        self.target = target
        self.sent = 0
        self.received = 0
        self.host = label
        self.address = ""
        #: How both ends digest blocks for each other, and what it is called.
        self.hashed: digest.Hash = digest.sha256
        self.algorithm = "sha256"
        self._lost: KvmError | None = None
        self._count = 0
        self._futures: dict[int, concurrent.futures.Future[t.Any]] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._closed = threading.Event()
        self._process = Process(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._words: list[bytes] = []
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._gather_words, daemon=True).start()
        self._introduced: concurrent.futures.Future[None] = concurrent.futures.Future()
        threading.Thread(target=self._introduce, daemon=True).start()

    @classmethod
    def begin(cls, target: str, label: str | None, shipped: Shipped) -> Remote:
        """The receiving end on another host, while ssh is still on its way there: see ``ready``. ``target`` is a libvirt URI with ssh, or
        a name for ssh; ``shipped`` gives what it is made of. Raises KvmError PROGRAM_MISSING."""
        where = SshTarget.parse(target)
        return cls(where.words(command=f"exec python3 -c '{_BOOT}'"), label or where.host, where, shipped)

    @classmethod
    def connect(cls, target: str, label: str | None = None) -> Remote:
        """The receiving end of disks on another host. Raises KvmError HOST_UNREACHABLE and PROGRAM_MISSING."""
        return cls.begin(target, label, _of_disks).ready()

    @classmethod
    def local(cls) -> Remote:
        """The receiving end of disks on this same host."""
        return cls(["python3", "-c", _BOOT], "this host", None, _of_disks).ready()

    def ready(self) -> Remote:
        """This end, once it has introduced itself. Raises KvmError HOST_UNREACHABLE and PROGRAM_MISSING, each time that it is asked."""
        try:
            self._introduced.result()
        except BaseException:
            self.close(patience=0)
            raise
        return self

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *unused_details: object) -> None:
        self.close()

    def _introduce(self) -> None:
        try:
            self._begin()
            self._introduced.set_result(None)
        except KvmError as error:
            self._introduced.set_exception(error)
        finally:
            if not self._introduced.done():
                # A defect, which this thread tells; nobody is to wait for it for ever.
                self._introduced.set_exception(RuntimeError("the other end could not be introduced"))

    def _begin(self) -> None:
        shipped = self._shipped()
        with contextlib.suppress(OSError, ValueError):
            self._write(boot_text(shipped))
        key = secrets.token_bytes(keyed.KEY_BYTES)
        own = keyed.keyed(key) if keyed in shipped else None
        hello = self.call("hello", timeout=_HELLO_SECONDS, **({"key": key.hex()} if own is not None else {}))
        if own is not None and hello["keyed"]:
            self.hashed, self.algorithm = own, keyed.NAME
        if hello["user"] != 0:
            raise KvmError(
                "HOST_UNREACHABLE",
                f"'{self.label}' lets us in, but not as root, and disks are root's; give a user that is root.",
                host=self.label,
            )
        self.host = hello["host"] if self.target is None else self.label
        self.address = hello["address"]
        threading.Thread(target=self._tick, daemon=True).start()

    # ---- asking ----

    def call(self, verb: str, *, timeout: float | None = None, **args: t.Any) -> t.Any:
        """Ask, and wait for the answer. Raises the KvmError that the other end raised, or CONNECTION_LOST."""
        return self.answer(self.send(verb, **args), timeout)

    def answer(self, future: concurrent.futures.Future[t.Any], timeout: float | None = None) -> t.Any:
        """Wait for the answer to what was sent."""
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError as exc:
            raise KvmError(
                "HOST_UNREACHABLE", f"'{self.label}' did not answer within {timeout:g} s.", host=self.label
            ) from exc

    def send(self, verb: str, **args: t.Any) -> concurrent.futures.Future[t.Any]:
        """Ask; the answer comes by the future."""
        future: concurrent.futures.Future[t.Any] = concurrent.futures.Future()
        with self._lock:
            if self._lost is not None:
                raise self._lost
            self._count += 1
            number = self._count
            self._futures[number] = future
        request = {"id": number, "verb": verb, "args": args}
        with contextlib.suppress(OSError, ValueError):
            # That the other end is gone is noticed, and told, by whoever listens.
            self._write(json.dumps(request, separators=(",", ":")).encode("ascii") + b"\n")
        return future

    def _write(self, data: bytes) -> None:
        with self._writing:
            self._process.stdin.write(data)
            self._process.stdin.flush()
            self.sent += len(data)

    def _tick(self) -> None:
        while not self._closed.wait(TICK_SECONDS):
            with contextlib.suppress(KvmError):
                self.send("tick")

    def _listen(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stdout:
                self.received += len(line)
                self._take(line)
        self._lose()

    def _take(self, line: bytes) -> None:
        answer = json.loads(line)
        with self._lock:
            future = self._futures.pop(answer["id"], None)
        if future is None:
            return
        if "error" in answer:
            error = answer["error"]
            future.set_exception(KvmError(error["code"], error["message"], **error["details"]))
        else:
            future.set_result(answer["value"])

    def _gather_words(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stderr:
                self._words = [*self._words[-20:], line]

    def _lose(self) -> None:
        """The other end is gone: whoever waits hears why."""
        status = self._process.wait(2)
        lines = [line.decode("utf-8", "replace").strip() for line in self._words]
        reason = next((line for line in reversed(lines) if line), "it ended without a word")
        if status == 127:
            error = command.missing("python3", self.label)
        elif self.received == 0 and not self._closed.is_set():
            error = KvmError("HOST_UNREACHABLE", f"'{self.label}' cannot be reached by ssh: {reason}.", host=self.label)
        else:
            error = KvmError(
                "CONNECTION_LOST",
                f"The connection to '{self.label}' was lost ({reason}); run again, what was copied is not sent again.",
                host=self.label,
            )
        with self._lock:
            self._lost = error
            waiting = list(self._futures.values())
            self._futures.clear()
        for future in waiting:
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                future.set_exception(error)

    @property
    def lost(self) -> KvmError | None:
        """Why the other end is gone; None while it is there."""
        return self._lost

    # ---- the end ----

    def tunnel(self, remote_socket: str, local_socket: str) -> Process:
        """Another ssh, which makes a unix socket of the other end appear here."""
        if self.target is None:
            raise ValueError("there is no tunnel to this host itself")
        options = ["-N", "-o", "ExitOnForwardFailure=yes", "-o", "StreamLocalBindMask=0177"]
        return Process(self.target.words([*options, "-L", f"{local_socket}:{remote_socket}"]))

    def close(self, patience: float = _CLOSE_SECONDS) -> None:
        """Let the other end go; it cleans up when its input closes."""
        self._closed.set()
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.close()
        if patience and self._lost is None and self._introduced.done():
            self._process.wait(patience)
        self._process.end()
