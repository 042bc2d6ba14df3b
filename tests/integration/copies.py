# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of copies share: images, what is equal, what is on the wire, and what must not be left behind."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import typing as t

from tests.lab.shell import wait_for as wait

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.host import Host

IMAGES = "/var/lib/libvirt/images"
MIB = 1 << 20

_MAKE = r"""
import json, os, random, sys
path, size, data, zeros, tail = sys.argv[1], *map(json.loads, sys.argv[2:])
chance = random.Random(path)
with open(path, "wb") as image:
    image.truncate((size << 20) + tail)
    for place in data:
        image.seek(place << 20)
        image.write(chance.randbytes(1 << 20))
    for place in zeros:
        image.seek(place << 20)
        image.write(bytes(1 << 20))
    os.fsync(image.fileno())
"""
#: What is left of a copy on a host: processes, sockets, keys, folders.
_LEFT = """
pgrep -a -x qemu-nbd || true
pgrep -af -- '^python3 -c [i]mport sys, zlib' || true
pgrep -af -- '^[^ ]*ssh -T -o [B]atchMode=yes' || true
find /run/virtops-kvm -name 'copy-*' 2>/dev/null || true
"""


def sh(host: Host, script: str, *words: str) -> str:
    """What a shell script prints on a host; a failure fails the test."""
    return host.run(["sh", "-euc", script, "sh", *words]).stdout


def wait_for(condition: t.Callable[[], bool], what: str, timeout: float = 240) -> None:
    """Wait, generously, until the condition holds."""
    wait(what, condition, timeout, 0.1)


def make_raw(
    host: Host, path: str, mib: int, *, data: t.Sequence[int] = (), zeros: t.Sequence[int] = (), tail: int = 0
) -> None:
    """A sparse raw image: random bytes in the MiBs ``data``, zeros that were written in ``zeros``, and a last bit of ``tail`` bytes."""
    words = [json.dumps(one) for one in (mib, list(data), list(zeros), tail)]
    host.run(["python3", "-c", _MAKE, path, *words])


def same(lab: Lab, path: str) -> None:
    """The file is the same, byte by byte, on the first two hosts."""
    found = [sh(host, 'stat -c %s -- "$1"; sha256sum < "$1"', path) for host in lab.hosts[:2]]
    assert found[0] == found[1], path


def far_copy(lab: Lab, path: str, form: str, source_form: str = "qcow2") -> str:
    """An image of the second host as an image of the first, by qemu-img and a folder that both have; gives its path."""
    sh(lab.hosts[1], 'qemu-img convert -f "$1" -O "$2" "$3" /srv/shared/far.image', source_form, form, path)
    return "/srv/shared/far.image"


def partials(lab: Lab) -> list[str]:
    """The partial images on the second host."""
    return sh(lab.hosts[1], f"find {IMAGES} -name '*.partial-*'").splitlines()


def left(lab: Lab) -> list[str]:
    """What copies have left running or lying about on the first two hosts, partial images apart."""
    return [f"{host.name}: {line}" for host in lab.hosts[:2] for line in sh(host, _LEFT).splitlines()]


def clean(lab: Lab) -> None:
    """Nothing is left. What ends by itself gets the time for it."""
    wait_for(lambda: not left(lab), f"nothing to be left of a copy: {left(lab)}")


def wire_bytes(host: Host) -> int:
    """The bytes that a host has put on its link so far, headers included."""
    lines = host.read("/proc/net/dev").splitlines()
    return next(int(line.split(":")[1].split()[8]) for line in lines if line.strip().startswith("eth0:"))


class Running:
    """disk_copy as the one process that it is on the source host. The stage must stand."""

    def __init__(self, host: Host, options: dict[str, t.Any], *, check_mode: bool = False) -> None:
        arguments = {**options, "_ansible_check_mode": check_mode, "_ansible_diff": True}
        # A module that reads its arguments from a file of its own can run beside another.
        path = f"/tmp/copy-{secrets.token_hex(4)}.json"
        host.write(path, json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
        words = ["env", "PYTHONPATH=/opt/virtops-bench", "python3", "-m", MODULE, path]
        self._process = subprocess.Popen(host.command(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def wake(self) -> None:
        """Go on after SIGSTOP; what entered the host's namespaces for it sleeps, too, and wakes it."""
        self._process.send_signal(signal.SIGCONT)

    def finish(self, timeout: float = 900) -> dict[str, t.Any]:
        """Its result; empty where it was killed."""
        out, errors = self._process.communicate(timeout=timeout)
        if self._process.returncode < 0 or self._process.returncode > 128:
            return {}
        assert out.strip().startswith(b"{"), (out, errors)
        found: dict[str, t.Any] = json.loads(out)
        found.setdefault("failed", False)
        assert found["failed"] == ("error_code" in found), found
        return found


MODULE = "ansible_collections.virtops.kvm.plugins.modules.disk_copy"
