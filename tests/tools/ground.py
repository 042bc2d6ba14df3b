# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What everything here stands on: where things are, how to speak, how to refuse, how to run a command, how to lock."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shlex
import subprocess
import threading
import typing as t

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

_speech = threading.Lock()


class Refusal(Exception):
    """What was asked cannot be done; the message is one sentence that says why and what helps."""


class CommandFailed(Exception):
    """A command ended with a failure; the message holds its output."""


def say(line: str) -> None:
    """Print one line at once, whole, whoever else is printing."""
    with _speech:
        print(line, flush=True)


def is_root() -> bool:
    return os.geteuid() == 0


def require_root(purpose: str) -> None:
    if not is_root():
        raise Refusal(f"{purpose} needs root: run it again as root, for example with sudo.")


def cache() -> pathlib.Path:
    """The directory for all that is installed and built; never inside the checkout."""
    chosen = os.environ.get("VIRTOPS_CACHE")
    if chosen:
        path = pathlib.Path(chosen).resolve()
    elif is_root():
        path = pathlib.Path("/var/cache/virtops-kvm")
    else:
        path = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "virtops-kvm"
    if path == REPOSITORY or REPOSITORY in path.parents:
        raise Refusal(f"VIRTOPS_CACHE is {path}, inside the checkout; choose a directory outside it.")
    path.mkdir(parents=True, exist_ok=True)
    return path


def workspace() -> pathlib.Path:
    """The part of the cache that belongs to this checkout, so that two checkouts never meet."""
    digest = hashlib.sha256(str(REPOSITORY).encode()).hexdigest()[:8]
    path = cache() / "checkouts" / f"{REPOSITORY.name}-{digest}"
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def locked(path: pathlib.Path) -> t.Iterator[None]:
    """Hold the lock ``path``.lock; a second one waits and says so. The kernel frees it when its holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting: another run is using {path.name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def run(
    words: t.Sequence[str | pathlib.Path], *, cwd: pathlib.Path = REPOSITORY, env: t.Mapping[str, str] | None = None
) -> str:
    """Run ``words`` quietly and return both outputs together; a failure raises with them."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=dict(env) if env is not None else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    output = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0:
        raise CommandFailed(
            f"$ {shlex.join(str(word) for word in words)}\n{output.rstrip()}\n(exit status {done.returncode})"
        )
    return output


def base_environment() -> dict[str, str]:
    """The caller's environment less what would bend Python or Ansible, with a UTF-8 locale, which Ansible insists on."""
    unwanted = ("PYTHONHOME", "PYTHONPATH", "ANSIBLE_CONFIG", "ANSIBLE_COLLECTIONS_PATHS", "LANGUAGE", "LC_ALL")
    env = {key: value for key, value in os.environ.items() if key not in unwanted}
    env.update(LC_ALL="C.UTF-8", VIRTOPS_CACHE=str(cache()))
    return env


Made = t.TypeVar("Made")


class Once(t.Generic[Made]):
    """Makes a thing when it is first asked for, once for all threads; what went wrong then is told in full once."""

    def __init__(self, make: t.Callable[[], Made]) -> None:
        self._make = make
        self._turn = threading.Lock()
        self._made: Made | None = None
        self._broken = False

    def __call__(self) -> Made:
        with self._turn:
            if self._broken:
                raise Refusal("What this needs could not be prepared, as told above.")
            if self._made is None:
                self._broken = True
                self._made = self._make()
                self._broken = False
            return self._made
