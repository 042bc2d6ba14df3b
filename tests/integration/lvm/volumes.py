# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests with logical volumes share: volumes that hold something, and modules on hosts that are slow."""

from __future__ import annotations

import compileall
import dataclasses
import itertools
import json
import pathlib
import py_compile
import shutil
import subprocess
import tempfile
import typing as t

import ansible.module_utils

from tests.integration.ansible_runs import ROOT
from tests.integration.copies import sh

if t.TYPE_CHECKING:
    from tests.lab import Lab
    from tests.lab.host import Host

Result = dict[str, t.Any]
STAGE = "/opt/virtops-tests"
#: Runs one module after another, each in a process that has all libraries already.
_DRIVER = """
import importlib, json, os, sys
from ansible.module_utils import basic
for name, options in json.load(sys.stdin):
    module = importlib.import_module("ansible_collections.virtops.kvm.plugins.modules." + name)
    child = os.fork()
    if child == 0:
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode()
        basic._ANSIBLE_PROFILE = "legacy"
        try:
            module.main()
        except SystemExit:
            sys.stdout.flush()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
        os._exit(1)
    os.waitpid(child, 0)
"""
#: Name and size of a volume.
THICK = 'lvcreate -q -q -y -W n -L "$2" -n "$1" lab'
#: The check of a thin pool's metadata is a package of its own, which these hosts do not have.
POOL = "lvcreate -q -q -y -L 64M -T lab/thin --config 'global { thin_check_executable = \"\" }' 2>/dev/null"
THIN = 'lvcreate -q -q -y -V "$2" -T lab/thin -n "$1" 2>/dev/null'
ZEROS = 'blkdiscard -z "/dev/lab/$1"'
HEAD = 'dd if=/dev/urandom of="/dev/lab/$1" bs=1M count=1 conv=notrunc,fsync status=none'
DATA = 'dd if=/dev/urandom of="/dev/lab/$1" bs=1M count=2 seek=3 conv=notrunc,fsync status=none'
#: Something in every byte. dd ends where the device does, and calls that a failure.
STALE = '! dd if=/dev/urandom of="/dev/lab/$1" bs=1M oflag=direct status=none 2>/dev/null'


@dataclasses.dataclass(frozen=True)
class Task:
    """One task on one host; ``check`` runs it in check mode only."""

    host: Host
    module: str
    options: Result
    check: bool = False


def lv(name: str) -> str:
    return f"/dev/lab/{name}"


def thick(host: Host, name: str, size: str, *, stale: bool = False) -> str:
    """A volume with data in some places and holes elsewhere; with ``stale`` full of something else."""
    # The extents of a new volume hold what they held before.
    sh(host, f"{THICK}; {STALE if stale else f'{ZEROS}; {HEAD}; {DATA}'}", name, size)
    return lv(name)


def thin(host: Host, name: str, size: str, *, stale: bool = False) -> str:
    """A thin volume, as ``thick``; its pool is made with the first one."""
    sh(host, f"lvs lab/thin >/dev/null 2>&1 || {POOL}; {THIN}; {STALE if stale else f'{HEAD}; {DATA}'}", name, size)
    return lv(name)


def sums(host: Host, *paths: str, length: int | None = None) -> list[str]:
    """What devices or files hold (their first ``length`` bytes), by a tool that is not ours."""
    script = 'for path; do head -c "$SIZE" -- "$path" | sha256sum; done'
    return sh(host, f"SIZE={length or 1 << 40}; {script}", *paths).split()[::2]


def stage(host: Host) -> None:
    """The modules lie on the host, so that a test need not start ansible-playbook for each: ssh alone takes seconds on an emulated host."""
    with tempfile.TemporaryDirectory() as folder:
        place, own = pathlib.Path(folder), pathlib.Path(ansible.module_utils.__path__[0])
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(own, place / "ansible" / "module_utils", ignore=ignore)
        (place / "ansible" / "__init__.py").touch()
        shutil.copy(own.parent / "release.py", place / "ansible")
        plugins = place / "ansible_collections" / "virtops" / "kvm" / "plugins"
        for part in ("modules", "module_utils"):
            shutil.copytree(ROOT / "plugins" / part, plugins / part, ignore=ignore)
        # Of use where both have the same Python; else the host does it itself.
        compileall.compile_dir(place, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        with subprocess.Popen(["tar", "-c", "-C", folder, "."], stdout=subprocess.PIPE) as packed:
            words = ["sh", "-c", f"rm -rf {STAGE}; mkdir -p {STAGE}; exec tar -x -C {STAGE} -f -"]
            subprocess.run(host.command(words), stdin=packed.stdout, check=True, capture_output=True)


def run(lab: Lab, *tasks: Task, check: bool = False) -> list[Result]:
    """The tasks, one after another; each gives its result, failed or not. Those of one host that follow each other share a process."""
    found: list[Result] = []
    for host, group in itertools.groupby(tasks, lambda task: task.host):
        words = [
            [task.module, {**task.options, "_ansible_check_mode": check or task.check, "_ansible_diff": True}]
            for task in group
        ]
        done = host.run(["env", f"PYTHONPATH={STAGE}", "python3", "-c", _DRIVER], input=json.dumps(words), check=False)
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        assert len(lines) == len(words), (done.stdout, done.stderr)
        found += [{"failed": False, "changed": False, **json.loads(line)} for line in lines]
    return found


def ensured(lab: Lab, *tasks: Task) -> list[Result]:
    """Each in check mode, for real, and again: what was announced happened, and then there is nothing left to do."""
    thrice = [one for task in tasks for one in (Task(task.host, task.module, task.options, check=True), task, task)]
    found = run(lab, *thrice)
    for announced, done, again in zip(found[::3], found[1::3], found[2::3], strict=True):
        assert not done.get("failed"), done
        assert announced["changes"] == done["changes"]
        assert announced["changed"] is done["changed"] is True, done
        assert again["changed"] is False, again
    return found[1::3]


def codes(found: t.Sequence[Result]) -> list[str]:
    """With what each was refused."""
    return [one.get("error_code", "ok") for one in found]


def actions(result: Result) -> list[str]:
    return [change["action"] for change in result["changes"]]
