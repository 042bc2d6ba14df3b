# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Programs are started here and nowhere else: never through a shell, always with a clear error where one is missing."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError

#: Program -> its package on Debian and its kin, and on RHEL and its kin.
PACKAGES: dict[str, tuple[str, str]] = {
    "blkdiscard": ("util-linux", "util-linux"),
    "blkid": ("util-linux", "util-linux"),
    "blockdev": ("util-linux", "util-linux"),
    "exportfs": ("nfs-kernel-server", "nfs-utils"),
    "ip": ("iproute2", "iproute"),
    "losetup": ("util-linux", "util-linux"),
    "lvextend": ("lvm2", "lvm2"),
    "lvs": ("lvm2", "lvm2"),
    "journalctl": ("systemd", "systemd"),
    "nbdcopy": ("libnbd-bin", "libnbd"),
    "qemu-img": ("qemu-utils", "qemu-img"),
    "qemu-nbd": ("qemu-utils", "qemu-img"),
    "qemu-system-x86_64": ("qemu-system-x86", "qemu-kvm"),
    "ping": ("iputils-ping", "iputils"),
    "openssl": ("openssl", "openssl"),
    "python3": ("python3", "python3"),
    "restorecon": ("policycoreutils", "policycoreutils"),
    "setpriv": ("util-linux", "util-linux"),
    "systemctl": ("systemd", "systemd"),
    "unshare": ("util-linux", "util-linux"),
    "ssh": ("openssh-client", "openssh-clients"),
    "vgs": ("lvm2", "lvm2"),
    "zstd": ("zstd", "zstd"),
}
#: systemd and Ansible may give a PATH without these.
_PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_END_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Done:
    """A program that has ended. ``status`` is negative where a signal ended it."""

    status: int
    stdout: str
    stderr: str

    @property
    def reason(self) -> str:
        """The last line that the program wrote about its failure, or its status where it wrote none."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else f"it ended with status {self.status}"


def find(program: str) -> str:
    """The path of ``program``. Raises KvmError PROGRAM_MISSING that names the packages."""
    path = shutil.which(program, path=_search_path())
    if path is None:
        raise missing(program)
    return path


def missing(program: str, host: str = "") -> KvmError:
    """The error for a program that is not installed."""
    debian, redhat = PACKAGES.get(os.path.basename(program), ("", ""))
    name = os.path.basename(program)
    cure = f"; install the package {debian} (Debian, Ubuntu) or {redhat} (RHEL, Fedora, SUSE)" if debian else ""
    return KvmError(
        "PROGRAM_MISSING",
        f"The program {name} is not installed on {host or 'this host'}{cure}.",
        program=name,
        packages={"debian": debian, "redhat": redhat} if debian else {},
    )


class _Program(subprocess.Popen[bytes]):
    """A program that is ended by whoever started it. AnsibleModule.run_command is no way here: this file also runs on other hosts,
    shipped there without Ansible."""


def run(
    words: t.Sequence[str],
    *,
    input: str | bytes | None = None,  # noqa: A002 - the name that subprocess.run has for it
    timeout: float | None = None,
    env: t.Mapping[str, str] | None = None,
) -> Done:
    """Run a program to its end. ``env`` is added to the environment. Raises PROGRAM_MISSING and PROGRAM_TIMEOUT."""
    data = input.encode("utf-8") if isinstance(input, str) else input
    program = _Program(
        [find(words[0]), *words[1:]],
        stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(env),
    )
    with program:
        try:
            out, err = program.communicate(data, timeout)
        except subprocess.TimeoutExpired as exc:
            name = os.path.basename(words[0])
            raise KvmError(
                "PROGRAM_TIMEOUT", f"The program {name} did not end within {timeout:g} s, and was ended.", program=name
            ) from exc
        finally:
            if program.poll() is None:
                program.kill()
    return Done(program.returncode, _text(out), _text(err))


def check(words: t.Sequence[str], code: str, what: str, **options: t.Any) -> Done:
    """Like run, but a status other than 0 is the KvmError ``code``: '``what`` failed: its last words'."""
    done = run(words, **options)
    if done.status != 0:
        raise KvmError(
            code, f"{what} failed: {done.reason}", program=os.path.basename(words[0]), stderr=done.stderr[-2000:]
        )
    return done


def start_alone(words: t.Sequence[str], out: t.IO[bytes]) -> int:
    """Start a program that outlives us, in a session of its own; all that it says goes to ``out``. Gives its pid."""
    program = _Program(
        [find(words[0]), *words[1:]],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=out,
        env=environment(),
        start_new_session=True,
    )
    return program.pid


class Process:
    """A program that runs beside us, and ends when it is closed, or when the thread that started it dies."""

    def __init__(
        self,
        words: t.Sequence[str],
        *,
        stdin: int | None = subprocess.DEVNULL,
        stdout: int | None = subprocess.DEVNULL,
        stderr: int | None = subprocess.PIPE,
        env: t.Mapping[str, str] | None = None,
        pass_fds: t.Sequence[int] = (),
        own_session: bool = False,
    ) -> None:
        # setpriv becomes the program itself (same pid), so that not even SIGKILL leaves it behind as an orphan.
        self.words = [find("setpriv"), "--pdeathsig", "TERM", find(words[0]), *words[1:]]
        self._process = _Program(
            self.words,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=environment(env),
            pass_fds=tuple(pass_fds),
            start_new_session=own_session,
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *unused_details: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def stdin(self) -> t.IO[bytes]:
        """Its standard input, where a pipe was asked for."""
        return t.cast("t.IO[bytes]", self._process.stdin)

    @property
    def stdout(self) -> t.IO[bytes]:
        """Its standard output, where a pipe was asked for."""
        return t.cast("t.IO[bytes]", self._process.stdout)

    @property
    def stderr(self) -> t.IO[bytes]:
        """Its error output, where a pipe was asked for."""
        return t.cast("t.IO[bytes]", self._process.stderr)

    def poll(self) -> int | None:
        """Its status, or None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int | None:
        """Its status; None where it still runs after ``timeout`` seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def end(self, patience: float = _END_SECONDS) -> int:
        """End it: by SIGTERM, and by SIGKILL when that does not help within ``patience`` seconds."""
        if self._process.poll() is None:
            self._process.terminate()
            if self.wait(patience) is None:
                self._process.kill()
        return self._process.wait()

    def last_words(self, limit: int = 4000) -> str:
        """What an ended program wrote about its failure."""
        if self._process.stderr is None or self._process.poll() is None:
            return ""
        with contextlib.suppress(OSError, ValueError):
            return _text(self._process.stderr.read()[-limit:]).strip()
        return ""

    def close(self) -> None:
        """End it where it still runs, and close its pipes."""
        self.end()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def environment(extra: t.Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for programs: ours, with messages in English, and with the folders of system programs."""
    return {**os.environ, "LC_ALL": "C.UTF-8", "PATH": _search_path(), **(extra or {})}


def _search_path() -> str:
    own = [place for place in os.environ.get("PATH", "").split(os.pathsep) if place]
    return os.pathsep.join([*own, *(place for place in _PLACES.split(":") if place not in own)])


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
