# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reader who types what a guide says, in the lab: same commands, same files, only the hosts have the lab's names."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import typing as t

import yaml

from tests.guides.blocks import PAGES, Block, read
from tests.integration import packed
from tests.integration.ansible_runs import CALLBACKS

if t.TYPE_CHECKING:
    from tests.lab import Lab

#: The guides that are walked through.
WALKED = ("guide_first_evacuation", "guide_own_hosts", "guide_shared_storage", "guide_bare_qemu", "guide_errors")
ROOT = pathlib.Path(__file__).resolve().parents[2]
#: The collection as somebody who installed it has it.
COLLECTIONS = "collections"
_DOMAIN = ".example.com"
_PATIENCE = 900.0
_CONNECTION = (
    "ansible_python_interpreter",
    "ansible_ssh_executable",
    "ansible_scp_executable",
    "ansible_sftp_executable",
    "ansible_ssh_args",
    "ansible_control_path_dir",
)


class Reader:
    """Somebody with a folder of their own and an installed collection."""

    def __init__(self, folder: pathlib.Path, name: str) -> None:
        self.folder, self.lab_name = folder, name
        self.printed = ""
        self.ran: list[str] = []

    def follow(self, page: str) -> None:
        """Do all that a guide says, from its begin to its end. What comes of each command is asserted."""
        for block in read(PAGES / f"{page}.rst"):
            self._do(block)

    def meets(self, lab: Lab) -> None:
        """What Ansible needs to get into hosts of the lab, where a guide's own inventory says nothing of it."""
        inventory = yaml.safe_load(lab.inventory.read_text(encoding="utf-8"))
        values = inventory["kvm"]["vars"]
        group = self.folder / "group_vars" / "all.yml"
        group.parent.mkdir(exist_ok=True)
        group.write_text(yaml.safe_dump({name: values[name] for name in _CONNECTION}), encoding="utf-8")

    def has_inventory(self) -> None:
        """The inventory that the guide for own hosts has a reader save."""
        own = read(PAGES / "guide_own_hosts.rst")
        self._do(next(block for block in own if block.how == "lab file inventory.yml"))

    def install(self) -> None:
        """The collection, as `ansible-galaxy collection install .` puts it there."""
        self._run("ansible-galaxy collection install .", f"to begin with, in {self.folder}")

    def _do(self, block: Block) -> None:
        if not block.how.startswith("lab"):
            return
        if block.how.startswith("lab file"):
            (self.folder / block.word).write_text(self._here(block.text), encoding="utf-8")
        elif block.how == "lab prints":
            self._compare(block)
        elif block.how.startswith("lab on"):
            self._run_on(block)
        else:
            self.printed = ""
            for line in block.commands:
                self._run(line, block.place)

    def _here(self, text: str) -> str:
        """A text of the guide with the names that hold in this lab."""
        text = text.replace("./run lab ", f"{ROOT}/run lab ").replace(
            "/run/virtops-lab/lab/", f"/run/virtops-lab/{self.lab_name}/"
        )
        text = re.sub(r"(/run lab \w+)", rf"\1 --name {self.lab_name}", text)
        text = text.replace("collection install .", f"collection install --force {ROOT}")
        return text.replace(_DOMAIN, f".{self.lab_name}.test")

    def _run(self, line: str, place: str) -> None:
        runs = sorted(self.folder.glob("*-reports/*/"), key=lambda path: path.stat().st_mtime)
        line = self._here(line)
        if "-reports/.../" in line:
            line = re.sub(r"[\w-]+-reports/\.\.\.", lambda _found: str(runs[-1]), line)
        done = subprocess.run(
            ["bash", "-ec", line],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
        packed.compile_new(self.folder / "packed")
        self._note(place, line, done.returncode, done.stdout)

    def _run_on(self, block: Block) -> None:
        from tests.lab import Lab

        host = Lab.attach(self.lab_name).host(block.word.partition(".")[0])
        self.printed = ""
        for line in block.commands:
            done = host.run(["bash", "-ec", self._here(line)], check=False)
            self._note(block.place, line, done.returncode, done.stdout + done.stderr)

    def _note(self, place: str, line: str, status: int, printed: str) -> None:
        self.printed += printed
        self.ran.append(line)
        assert status == 0, f"{place}: '{line}' ended with {status}:\n{printed}"

    def _environment(self) -> dict[str, str]:
        values = dict(
            os.environ,
            ANSIBLE_COLLECTIONS_PATH=str(self.folder / COLLECTIONS),
            ANSIBLE_HOST_KEY_CHECKING="True",
            ANSIBLE_NOCOLOR="1",
            COLUMNS="200",
            # Their modules are packed out of their collection, but for all that they run, once.
            ANSIBLE_CALLBACK_PLUGINS=str(CALLBACKS),
            ANSIBLE_CALLBACKS_ENABLED="virtops_recorder",
            VIRTOPS_PACKED=str(self.folder / "packed"),
            VIRTOPS_RECORD=str(self.folder / "records.jsonl"),
        )
        values.pop("ANSIBLE_CONFIG", None)
        return values

    def _compare(self, block: Block) -> None:
        """Every line of the block was printed, in this order."""
        rest = self.printed
        for line in self._here(block.text).splitlines():
            if not line.strip() or line.strip() == "...":
                continue
            found = re.search(pattern(line), rest)
            assert found, f"{block.place}: nothing like this line was printed:\n{line}\nbut:\n{self.printed}"
            rest = rest[found.end() :]


def pattern(line: str) -> str:
    """A regular expression for a line of output: '...' is anything, blanks are any blanks, stars any stars, and a number is any number
    unless it belongs to a name or stands behind an equals sign."""
    parts = re.split(r"(\.\.\.|(?<![\w=])\d+(?:\.\d+)?|\*+|\s+)", line.strip())
    shown = []
    for part in parts:
        if part == "...":
            shown.append(r"[^\n]*")
        elif re.fullmatch(r"\d+(?:\.\d+)?", part):
            shown.append(r"\d+(?:\.\d+)?")
        elif part and not part.strip("*"):
            shown.append(r"\*+")
        elif part and part.isspace():
            shown.append(r"[ \t]+")
        else:
            shown.append(re.escape(part))
    return "".join(shown)
