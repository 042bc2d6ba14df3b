# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""qemu-nbd: started with a socket that already listens, so that there is neither a race for a port nor a time of waiting.

Needs the standard library only, because the receiving end of a copy runs it too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.command import Process, find
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import FileReader, Reader
from ansible_collections.virtops.kvm.plugins.module_utils._disk.nbdread import NbdError, NbdReader

RUN_DIR = "/run/virtops-kvm"
#: The ports that hosts open to each other for migrations anyway; from the end, because libvirt begins at the start.
PORTS = range(49215, 49151, -1)
#: AES-128 in GCM, which every TLS 1.3 has, and no other: GnuTLS lets the client choose, and what it likes best takes up to four times
#: the processor time.
_PRIORITY = "NORMAL:-CIPHER-ALL:+AES-128-GCM:+ECDHE-PSK:+DHE-PSK:+PSK"
_KEY_FILE = "keys.psk"
KEY_USER = "virtops"
#: It takes over the socket as systemd would hand it over: descriptor 3, and its own process id in the environment.
_SHIM = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); "
    "os.execv(sys.argv[2], sys.argv[2:])"
)


class RunFolder:
    """A folder of our own for sockets and keys. It exists only as long as something is in it, because a process that is killed
    cannot clean up; and sockets and keys are only needed until the connections stand."""

    def __init__(self, root: str = RUN_DIR) -> None:
        self._root = root
        self._path = ""
        sweep(root)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *unused_details: object) -> None:
        self.close()

    @property
    def path(self) -> str:
        """The folder; from now on it exists."""
        if not self._path:
            os.makedirs(self._root, mode=0o755, exist_ok=True)
            self._path = tempfile.mkdtemp(prefix=f"copy-{os.getpid()}-", dir=self._root)
        return self._path

    def close(self) -> None:
        """Remove it with all that is in it."""
        if self._path:
            shutil.rmtree(self._path, ignore_errors=True)
        self._path = ""

    def join(self, name: str) -> str:
        """A path in it."""
        return os.path.join(self.path, name)

    def write_key(self, key: str) -> str:
        """Write the key of one copy where TLS looks for it."""
        path = self.join(_KEY_FILE)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as stream:
            stream.write(f"{KEY_USER}:{key}\n")
        return path

    def forget(self, *names: str) -> None:
        """Remove the key and the files ``names``: everybody who needs them has them. The folder goes with the last one."""
        if not self._path:
            return
        for name in (*names, _KEY_FILE):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._path, name))
        with contextlib.suppress(OSError):
            os.rmdir(self._path)
            self._path = ""


def sweep(root: str) -> None:
    """Remove the folders of processes that had no time to do it."""
    with contextlib.suppress(OSError):
        for name in os.listdir(root):
            parts = name.split("-")
            if (
                parts[0] == "copy"
                and len(parts) == 3
                and parts[1].isdigit()
                and not os.path.exists(f"/proc/{parts[1]}")
            ):
                shutil.rmtree(os.path.join(root, name), ignore_errors=True)


class Server:
    """One qemu-nbd. Start it in a thread that lives as long as it shall."""

    def __init__(
        self,
        path: str,
        image_format: str,
        listener: socket.socket,
        *,
        writable: bool = False,
        connections: int = 4,
        key_folder: str | None = None,
    ) -> None:
        words = [find("qemu-nbd"), "--persistent", f"--shared={connections}", f"--format={image_format}"]
        words += ["--cache=writeback", "--discard=unmap"] if writable else ["--read-only"]
        if key_folder is not None:
            words += ["--object", f"tls-creds-psk,id=tls0,dir={key_folder},endpoint=server,priority={_PRIORITY}"]
            words += ["--tls-creds=tls0"]
        shim = [sys.executable or "python3", "-S", "-E", "-c", _SHIM, str(listener.fileno())]
        self._process = Process([*shim, *words, "--", path], pass_fds=(listener.fileno(),))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def complaint(self, patience: float = 1.0) -> str | None:
        """Why it ended; None while it runs."""
        if self._process.wait(patience) is None:
            return None
        lines = self._process.last_words().splitlines()
        return lines[-1].removeprefix("qemu-nbd: ") if lines else "qemu-nbd ended"

    def close(self) -> None:
        """End it; what it was told to write is then with the kernel."""
        self._process.end(patience=60)
        self._process.close()


def listen_unix(path: str) -> socket.socket:
    """A listening unix socket."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(16)
    except BaseException:
        listener.close()
        raise
    return listener


def listen_tcp(address: str) -> socket.socket:
    """A listening TCP socket on a port that is free. Raises KvmError NO_PORT."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    reason = ""
    for port in PORTS:
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(16)
        except OSError as exc:
            listener.close()
            reason = str(exc)
            continue
        return listener
    raise KvmError(
        "NO_PORT", f"No port from {PORTS[-1]} to {PORTS[0]} can be had on {address}: {reason}.", address=address
    )


@contextlib.contextmanager
def opened(path: str, image_format: str, *, size: int | None = None, connections: int = 2) -> t.Iterator[Reader]:
    """What is in an image or device: raw bytes, or with any other format the content that a guest sees.

    Raises KvmError IMAGE_INVALID and PROGRAM_MISSING, and OSError where the file cannot be read.
    """
    if image_format == "raw":
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield FileReader(descriptor, size)
        finally:
            os.close(descriptor)
        return
    with contextlib.ExitStack() as stack:
        with RunFolder() as folder:
            listener = listen_unix(folder.join("read"))
            with contextlib.closing(listener):
                server = Server(path, image_format, listener, connections=connections)
            stack.callback(server.close)
            try:
                reader = NbdReader(folder.join("read"), size, connections)
            except NbdError as exc:
                reason = server.complaint() or str(exc)
                raise KvmError(
                    "IMAGE_INVALID", f"The image '{path}' cannot be read as {image_format}: {reason}.", path=path
                ) from exc
            stack.callback(reader.close)
        yield reader
