# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What this host has for guest processes: programs, users, images, bridges, and other guests. Reads, and makes missing files."""

from __future__ import annotations

import dataclasses
import glob
import json
import os
import pwd
import re
import shutil
import stat
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command, statefile
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._qemu import commandline, departed, domainfiles
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.conflicts import Rival
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.description import own_uuid
from ansible_collections.virtops.kvm.plugins.module_utils._qemu.guest_plan import NewFile

#: Whom distributions let QEMU run as.
USERS = ("libvirt-qemu", "qemu")
EMULATORS = ("qemu-system-x86_64", "/usr/libexec/qemu-kvm")
_QEMU = re.compile(r"qemu-system-\w+|qemu-kvm")
_LOCKED = re.compile(r"Failed to get .*lock")


@dataclasses.dataclass(frozen=True)
class Image:
    """An image that is there. ``locked`` says that somebody has it open for writing."""

    format: str
    size: int
    locked: bool = False


class GuestHost:
    """This host."""

    # ---- what it has ----

    def default_uuid(self, name: str) -> str:
        """The UUID of a guest for which none is given."""
        with open("/etc/machine-id", encoding="ascii") as stream:
            return own_uuid(stream.read().strip(), name)

    def user(self, asked: str | None) -> str:
        """The user that QEMU runs as. Raises InputError for one that is not there."""
        for name in (asked,) if asked else USERS:
            try:
                return pwd.getpwnam(str(name)).pw_name
            except KeyError:
                if asked:
                    raise InputError(
                        "user", f"This host knows no user '{asked}'; create it, or name another."
                    ) from None
        return "root"

    def emulator(self, asked: str | None) -> str:
        """The program. Raises PROGRAM_MISSING."""
        for program in (asked,) if asked else EMULATORS:
            try:
                return command.find(str(program))
            except KvmError as exc:
                error = exc
        raise error if asked else command.missing(EMULATORS[0])

    def machine(self, emulator: str, asked: str) -> str:
        """The versioned name of a machine type. Raises InputError for one that the program does not have."""
        listing = command.check(
            [emulator, "-machine", "help"], "EMULATOR_FAILED", f"Asking {emulator} for its machines", timeout=60
        ).stdout
        known = {line.split(None, 1)[0] for line in listing.splitlines() if line[:1].isalnum()}
        found = commandline.versions(listing).get(asked, asked)
        if found not in known:
            raise InputError(
                "machine", f"{emulator} on this host has no machine type '{asked}'; see: {emulator} -machine help"
            )
        return found

    def ip(self) -> str:
        """The path of the program that makes tap devices."""
        return command.find("ip")

    def interface(self, name: str) -> str | None:
        """The kind of the network interface ``name``, such as bridge or tun; None where there is none."""
        # Not from /sys, which in a container may be that of another network namespace.
        done = command.run(["ip", "-json", "-details", "link", "show", "dev", name], timeout=60)
        if done.status != 0:
            return None
        found = json.loads(done.stdout)
        return str(found[0].get("linkinfo", {}).get("info_kind", "")) if found else None

    # ---- images ----

    def real(self, path: str) -> str:
        """``path`` without links; a block device by its number, as it has many names."""
        try:
            found = os.stat(path)
        except OSError:
            return os.path.realpath(path)
        if stat.S_ISBLK(found.st_mode):
            return f"block device {os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
        return os.path.realpath(path)

    def exists(self, path: str) -> bool:
        """Whether there is anything at ``path``."""
        return os.path.lexists(path)

    def image(self, path: str, form: str) -> Image:
        """The image at ``path``, which shall have the format ``form``. Raises IMAGE_INVALID."""
        words = ["qemu-img", "info", "--output=json"]
        done = command.run([*words, path], timeout=60)
        locked = done.status != 0 and _LOCKED.search(done.stderr) is not None
        if locked:
            done = command.run([*words, "--force-share", path], timeout=60)
        if done.status != 0:
            raise KvmError("IMAGE_INVALID", f"The image {path} cannot be read on this host: {done.reason}", path=path)
        answer = json.loads(done.stdout)
        found = str(answer["format"])
        # Anything is a raw image; only what would be taken for a chain of others is not.
        return Image(form if form == "raw" and found != "qcow2" else found, int(answer["virtual-size"]), locked)

    def may_use(self, user: str, path: str, *, write: bool) -> bool:
        """Whether ``user`` may read ``path``, and write to it."""
        test = ["test", "-r", path, *(["-a", "-w", path] if write else [])]
        return self._as(user, test)

    def may_enter(self, user: str, folder: str) -> bool:
        """Whether ``user`` may reach what is in ``folder``."""
        return self._as(user, ["test", "-d", folder, "-a", "-x", folder])

    def _as(self, user: str, words: t.Sequence[str]) -> bool:
        entry = pwd.getpwnam(user)
        become = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--init-groups", "--"]
        return command.run([*become, *words], timeout=60).status == 0

    def make(self, new: NewFile, user: str) -> None:
        """Make a file for ``user`` under a name that nothing has; whole or not at all."""
        partial = f"{new.path}.virtops-kvm-partial"
        statefile.remove(partial)
        try:
            if new.template is not None:
                shutil.copyfile(new.template, partial)
            else:
                words = ["qemu-img", "create", "-q", "-f", new.format, partial, str(new.size)]
                command.check(words, "IMAGE_NOT_CREATED", f"Creating the image {new.path}", timeout=600)
            entry = pwd.getpwnam(user)
            os.chmod(partial, 0o600)
            os.chown(partial, entry.pw_uid, entry.pw_gid)
            # A link fails where a name exists, so nobody's file is ever replaced.
            os.link(partial, new.path)
        except OSError as exc:
            raise KvmError(
                "IMAGE_NOT_CREATED", f"Creating {new.path} on this host failed: {exc.strerror}.", path=new.path
            ) from exc
        finally:
            statefile.remove(partial)

    def unmake(self, path: str) -> None:
        """Remove a file that ``make`` made for a guest which did not start."""
        statefile.remove(path)

    # ---- others ----

    def rivals(self, own_pid: int | None) -> list[Rival]:
        """All other QEMU processes of this host, and the domains that libvirt has defined."""
        return [*self._processes(own_pid), *_domains(self.real)]

    def departures(self) -> list[departed.Departure]:
        """Guests that have left this host by a move; their disks are called as ``real`` calls them."""
        return [
            dataclasses.replace(one, images=tuple(self.real(path) for path in one.images))
            for one in departed.departures()
        ]

    def came_back(self, name: str, uuid: str) -> None:
        """A guest that had left is this host's again."""
        departed.came_back(name, uuid)

    def _processes(self, own_pid: int | None) -> t.Iterator[Rival]:
        for folder in glob.glob("/proc/[0-9]*"):
            pid = int(os.path.basename(folder))
            words = words_of(pid)
            if pid == own_pid or not words or not _QEMU.fullmatch(os.path.basename(words[0])):
                continue
            name = commandline.name_in(words)
            writes, reads = self._open_files(folder)
            label = f"the QEMU process {pid}" + (f" ('{name}')" if name else "")
            yield Rival(label, name, commandline.uuid_in(words), frozenset(writes), frozenset(reads))

    def _open_files(self, folder: str) -> tuple[set[str], set[str]]:
        """The files and devices that a process has open: for writing, and for reading alone."""
        writes: set[str] = set()
        reads: set[str] = set()
        for link in glob.glob(f"{folder}/fd/*"):
            try:
                target = os.readlink(link)
                with open(link.replace("/fd/", "/fdinfo/"), encoding="ascii", errors="replace") as stream:
                    flags = next((line.split()[1] for line in stream if line.startswith("flags:")), "0")
            except OSError:
                continue  # it was closed meanwhile
            if target.startswith("/"):
                (writes if int(flags, 8) & os.O_ACCMODE else reads).add(self.real(target))
        return writes, reads - writes


def words_of(pid: int) -> tuple[str, ...]:
    """The arguments of a process; none where it has ended."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            data = stream.read()
    except OSError:
        return ()
    return tuple(word.decode("utf-8", "surrogateescape") for word in data.split(b"\0")[:-1])


def _domains(real: t.Callable[[str], str]) -> t.Iterator[Rival]:
    """The domains that libvirt would start."""
    for one in domainfiles.defined():
        writes, reads = (frozenset(map(real, paths)) for paths in (one.writes, one.reads))
        yield Rival(f"the libvirt domain '{one.name}'", one.name, one.uuid, writes, reads)
