# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The receiving end's half of one image: its partial file, the server that fills it, and its finish.

Runs on the destination, shipped there as text: the standard library only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import grp
import hashlib
import os
import pwd
import socket
import stat
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._disk import device, inuse, qemunbd
from ansible_collections.virtops.kvm.plugins.module_utils._disk.device import BLOCK_DEVICE
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import size_of
from ansible_collections.virtops.kvm.plugins.module_utils._disk.receive import Receiver
from ansible_collections.virtops.kvm.plugins.module_utils._disk.stream import context_of

#: How long to wait for the receiving end of an earlier copy, which ends by itself.
_LOCK_SECONDS = 120.0
_FULL = (errno.ENOSPC, errno.EDQUOT)

Value = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Target:
    """What is to be filled. ``size`` is that of the file, or of the content where ``format`` is not raw."""

    path: str
    key: str
    size: int
    format: str
    replace: bool = False
    options: str = ""


def owner_of(name: str | None) -> tuple[int, int]:
    """(uid, gid) of ``user:group`` (names or numbers); -1 for what is not given or not known here."""
    user, _unused_colon, group = (name or "").partition(":")
    uid, gid = -1, -1
    if user:
        with contextlib.suppress(KeyError):
            uid = int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
    if group:
        with contextlib.suppress(KeyError):
            gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    return uid, gid


def name_of_owner(status: os.stat_result) -> str:
    """``user:group`` by name, by number where there is no name."""
    user, group = str(status.st_uid), str(status.st_gid)
    with contextlib.suppress(KeyError):
        user = pwd.getpwuid(status.st_uid).pw_name
    with contextlib.suppress(KeyError):
        group = grp.getgrgid(status.st_gid).gr_name
    return f"{user}:{group}"


def full(path: str) -> KvmError:
    """The error for a destination without room."""
    return KvmError(
        "DESTINATION_FULL",
        f"There is not enough room for '{path}' on {socket.gethostname()}; make room there, or choose another place.",
        path=path,
        host=socket.gethostname(),
    )


class Image:
    """One image while it is filled. Created in the main thread, because its server must not outlive us."""

    def __init__(self, target: Target, folder: qemunbd.RunFolder, clock: Clock) -> None:
        self.target = target
        self.final = os.path.realpath(target.path)
        self.existing = False
        self.device = False
        self._folder = folder
        self._server: qemunbd.Server | Receiver | None = None
        self._complaint: str | None = None
        self._sockets: list[str] = []
        self._descriptor: int | None = None
        self._lock = self._locked(clock)
        try:
            self._take(clock)
        except BaseException:
            self.close()
            raise

    # ---- beginning ----

    def _locked(self, clock: Clock) -> socket.socket:
        """An abstract socket: the kernel drops it with its owner, and it leaves no file."""
        name = "\0virtops-kvm-copy-" + hashlib.sha256(os.fsencode(self.final)).hexdigest()
        end = clock.monotonic() + _LOCK_SECONDS
        while True:
            lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                lock.bind(name)
            except OSError as exc:
                lock.close()
                if exc.errno != errno.EADDRINUSE:
                    raise
                if clock.monotonic() > end:
                    raise KvmError(
                        "COPY_RUNNING",
                        f"Another copy to '{self.final}' is running on {socket.gethostname()}; wait for its end.",
                        path=self.final,
                    ) from exc
                clock.sleep(0.5)
                continue
            return lock

    def _take(self, clock: Clock) -> None:
        place = device.look(self.final)
        if place.kind == BLOCK_DEVICE:
            self._take_device(place, clock)
            return
        if place.kind not in (device.FILE, device.ABSENT):
            raise KvmError(
                "DESTINATION_EXISTS", f"'{self.final}' is neither a file nor a block device.", path=self.final
            )
        if self.final.startswith("/dev/"):
            raise KvmError("DEVICE_NOT_FOUND", f"There is no device '{self.final}'; create it first.", path=self.final)
        if place.kind == device.FILE:
            if not self.target.replace:
                raise KvmError(
                    "DESTINATION_EXISTS",
                    f"'{self.final}' exists on {socket.gethostname()} and holds something else; remove it, or permit to replace it.",
                    path=self.final,
                )
            os.replace(self.final, self.work)
        self._take_file()

    def _take_device(self, place: device.Place, clock: Clock) -> None:
        self.device = self.existing = True
        inuse.check_free(place, writing=True, clock=clock)
        self._descriptor = device.open_alone(place, write=True)
        if place.size < self.target.size and self.target.format == "raw":
            raise KvmError(
                "DESTINATION_TOO_SMALL",
                f"The device '{self.target.path}' has {place.size} bytes and the source {self.target.size}; use a larger one.",
                path=self.target.path,
                size=place.size,
                needed=self.target.size,
            )

    def _take_file(self) -> None:
        if not os.path.isdir(os.path.dirname(self.work)):
            raise KvmError(
                "FOLDER_MISSING",
                f"The folder of '{self.final}' does not exist on {socket.gethostname()}; create it first.",
                path=os.path.dirname(self.final),
            )
        self.existing = os.path.exists(self.work)
        if self.target.format != "raw":
            self._take_formatted()
        self._descriptor = os.open(self.work, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if self.target.format == "raw" and os.fstat(self._descriptor).st_size != self.target.size:
            os.ftruncate(self._descriptor, self.target.size)

    def _take_formatted(self) -> None:
        """An image that we began is taken up again where it is whole; else a new one."""
        if self.existing:
            usable = command.run(["qemu-img", "check", "-q", "-r", "leaks", "-f", self.target.format, self.work])
            self.existing = usable.status == 0
            if self.existing:
                words = [
                    "qemu-img",
                    "resize",
                    "-q",
                    "--shrink",
                    "-f",
                    self.target.format,
                    self.work,
                    str(self.target.size),
                ]
                self.existing = command.run(words).status == 0
        if not self.existing:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.work)
            words = ["qemu-img", "create", "-q", "-f", self.target.format]
            words += ["-o", self.target.options] if self.target.options else []
            done = command.run([*words, self.work, str(self.target.size)], env=None)
            if done.status != 0:
                raise KvmError("IMAGE_INVALID", f"'{self.final}' cannot be created: {done.reason}.", path=self.final)
            os.chmod(self.work, 0o600)

    @property
    def work(self) -> str:
        """The name under which it is filled: never the final one, except for a device."""
        return self.final if self.device else f"{self.final}.partial-{self.target.key}"

    @property
    def facts(self) -> Value:
        """What the sender must know."""
        status = os.fstat(t.cast(int, self._descriptor))
        return {
            "work": self.work,
            "existing": self.existing,
            "device": self.device,
            "allocated": 0 if self.device else status.st_blocks * 512,
        }

    # ---- serving ----

    def serve(self, transport: str, address: str, key: str, connections: int) -> Value:
        """Serve it: on TCP inside TLS with the one-time ``key``, or on a unix socket of root alone. What is raw we write ourselves,
        what has a format qemu-nbd does."""
        self.stop_serving()
        if transport == "tcp":
            listener = qemunbd.listen_tcp(address)
        else:
            name = f"write{len(self._sockets)}"
            listener = qemunbd.listen_unix(self._folder.join(name))
            self._sockets.append(name)
        with contextlib.closing(listener):
            self._server = self._serve_on(listener, key if transport == "tcp" else "", connections)
            if transport == "tcp":
                return {"address": listener.getsockname()[0], "port": listener.getsockname()[1]}
        return {"socket": self._folder.join(self._sockets[-1])}

    def _serve_on(self, listener: socket.socket, key: str, connections: int) -> qemunbd.Server | Receiver:
        if self.target.format == "raw":
            context = context_of(key, server=True) if key else None
            return Receiver(t.cast(int, self._descriptor), listener, context, is_device=self.device)
        if key:
            self._folder.write_key(key)
        return qemunbd.Server(
            self.work,
            self.target.format,
            listener,
            writable=True,
            connections=connections + 1,
            key_folder=self._folder.path if key else None,
        )

    def connected(self) -> None:
        """All connections stand: neither key nor socket is needed any more."""
        if isinstance(self._server, Receiver):
            self._server.settle()
        self._folder.forget(*self._sockets)
        self._sockets = []

    def complaint(self) -> str | None:
        """Why the server ended; None while it runs."""
        return self._server.complaint() if self._server is not None else self._complaint

    def stop_serving(self) -> None:
        """End the server; what was written is then with the kernel."""
        server, self._server = self._server, None
        if server is not None:
            self._complaint = server.complaint(0)
            server.close()
        self.connected()

    # ---- end ----

    def sync(self) -> None:
        """Bring to the disk what has been written so far."""
        if self._descriptor is not None:
            os.fdatasync(self._descriptor)

    def blank_tail(self) -> None:
        """Make zeros of what lies behind the content on a device that is larger: a guest would see what the device held before."""
        descriptor = t.cast(int, self._descriptor)
        for begin, length in list(device.filled(descriptor, self.target.size, size_of(descriptor))):
            device.zero_out(descriptor, begin, length)

    def finish(self, owner: str | None, mode: int | None) -> Value:
        """All is proven: bring it to the disk, then give it its name, which nobody else may have taken meanwhile."""
        self.stop_serving()
        descriptor = t.cast(int, self._descriptor)
        try:
            if self.target.format == "raw" and not self.device:
                os.ftruncate(descriptor, self.target.size)
            if not self.device:
                os.fchown(descriptor, *owner_of(owner))
                if mode is not None:
                    os.fchmod(descriptor, mode)
            os.fsync(descriptor)
            if not self.device:
                self._name()
        except OSError as exc:
            if exc.errno in _FULL:
                raise full(self.final) from exc
            raise
        status = os.fstat(descriptor)
        self.close()
        return {"path": self.final, "allocated": 0 if self.device else status.st_blocks * 512}

    def _name(self) -> None:
        try:
            # Unlike rename, link never replaces what is there.
            os.link(self.work, self.final, follow_symlinks=False)
            os.unlink(self.work)
        except FileExistsError as exc:
            raise KvmError("DESTINATION_EXISTS", f"'{self.final}' appeared during the copy.", path=self.final) from exc
        except OSError as exc:
            if exc.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                raise
            if os.path.lexists(self.final):
                raise KvmError(
                    "DESTINATION_EXISTS", f"'{self.final}' appeared during the copy.", path=self.final
                ) from exc
            os.rename(self.work, self.final)
        folder = os.open(os.path.dirname(self.final), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def abandon(self) -> bool:
        """Give up and remove the partial; tells whether there was one. A device stays as it is."""
        self.stop_serving()
        found = not self.device and os.path.exists(self.work)
        if found:
            os.unlink(self.work)
        self.close()
        return found

    def close(self) -> None:
        """End the server and let go; a partial stays for the next try."""
        self.stop_serving()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._lock.close()


def kind_of(status: os.stat_result) -> str:
    """What a path is, in one word."""
    kinds = ((stat.S_ISREG, "file"), (stat.S_ISBLK, "block"), (stat.S_ISDIR, "folder"))
    return next((word for test, word in kinds if test(status.st_mode)), "other")
