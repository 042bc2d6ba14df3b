# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A dry run of a definition by libvirt itself.

libvirt has no dry run for virDomainDefineXML; domainXMLToNative comes near, but refuses more (what cannot be started) and
tells nothing of the document. Yet the very driver of the daemon can be opened inside a program, with all its files under a
folder of its own: qemu:///embed. What is defined there, no daemon ever sees. So this host's libvirt tells exactly what it
would make of a document, or why it would refuse it.

The driver takes its process over, hence it runs in a child: this file is also the child's program. Parent and child talk in
JSON, one line for a document, one line for the answer; nothing is in an argument list or in the environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.command import Process
from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import Value, read_settings
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.binding import constant, library
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.connection import libvirt_code
from ansible_collections.virtops.kvm.plugins.module_utils._model.definition import Normalized

QEMU_CONF = "/etc/libvirt/qemu.conf"
#: What QEMU can do is probed once per host and kept here; with a copy of it the child needs no probe of its own.
CAPABILITIES = "/var/cache/libvirt/qemu/capabilities"
#: Settings that would let the child reach out of its folder, and have no part in a definition.
_LEFT_OUT = frozenset({"hugetlbfs_mount", "lock_manager", "memory_backing_dir", "auto_dump_path", "save_image_format"})
#: Folders under the child's root, and what the daemon of the system calls them.
_PLACES = (
    ("/lib/qemu", "/var/lib/libvirt/qemu"),
    ("/run/qemu", "/run/libvirt/qemu"),
    ("/log/qemu", "/var/log/libvirt/qemu"),
)
_START = f"from {__name__} import main; main()"
#: It answers within a second, but for its first probe of QEMU on a host under load.
_PATIENCE = 120.0


class DryRun:
    """This host's libvirt, of the system, asked what it would make of documents. Raises KvmError NO_DRY_RUN where it cannot be asked."""

    def __init__(self) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        self._child = Process(
            [sys.executable, "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": paths},
        )
        answer = self._read()
        if "error" in answer:
            self._child.close()
            raise KvmError("NO_DRY_RUN", f"libvirt's QEMU driver cannot be asked here: {answer['error']}.", **answer)

    def normalize(self, xml: str, validate: bool = False) -> Normalized:
        """What libvirt would make of ``xml``; with ``validate`` also what its schema has against it, which takes longer."""
        try:
            self._child.stdin.write(json.dumps({"xml": xml, "validate": validate}).encode() + b"\n")
            self._child.stdin.flush()
        except OSError:
            return Normalized(**self._read())
        return Normalized(**self._read())

    def _read(self) -> dict[str, t.Any]:
        answers = select.select([self._child.stdout], [], [], _PATIENCE)[0]
        line = self._child.stdout.readline() if answers else b""
        if line:
            return t.cast("dict[str, t.Any]", json.loads(line))
        self._child.end()
        words = self._child.last_words().splitlines()
        raise KvmError(
            "NO_DRY_RUN",
            f"The dry run of the definition ended before its answer: {words[-1] if words else 'without a word'}.",
        )

    def close(self) -> None:
        """End the child; its folder goes with it."""
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        self._child.wait(_PATIENCE)
        self._child.close()

    def __enter__(self) -> DryRun:
        return self

    def __exit__(self, *unused_details: object) -> None:
        self.close()


def conf_text(settings: t.Mapping[str, Value]) -> str:
    """``settings`` of the daemon as the child's qemu.conf."""
    lines = []
    for key, value in sorted(settings.items()):
        if key in _LEFT_OUT:
            continue
        shown = "[" + ", ".join(_quoted(item) for item in value) + "]" if isinstance(value, list) else _quoted(value)
        lines.append(f"{key} = {shown}")
    # An empty list: without it the driver would make folders of its own in every mounted hugetlbfs.
    return "\n".join([*lines, "hugetlbfs_mount = []", ""])


def _quoted(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    return f"'{value}'" if '"' in value else f'"{value}"'


def system_paths(xml: str, root: str) -> str:
    """``xml`` with the paths that the daemon of the system would have chosen in place of those under ``root``."""
    for inside, outside in _PLACES:
        xml = xml.replace(root + inside, outside)
    return xml


# ---- the child ----


def main() -> None:
    """Answer documents from standard input until it ends."""
    # Not even an end by a signal may leave the folder behind.
    signal.signal(signal.SIGTERM, _end)
    # libvirt and what it starts may write; the answers keep a descriptor to themselves.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    root = tempfile.mkdtemp(prefix="virtops-kvm-", dir="/run" if os.access("/run", os.W_OK) else None)
    try:
        _prepare(root)
        _serve(root, answers)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    # The driver's threads may hang in an orderly end; all that is ours is done.
    answers.flush()
    os._exit(0)


def _end(*unused: t.Any) -> t.NoReturn:
    raise SystemExit(1)


def _prepare(root: str) -> None:
    # QEMU is asked as the user that the daemon runs it as, who must reach his socket below.
    os.chmod(root, 0o711)
    os.makedirs(os.path.join(root, "etc"))
    with open(os.path.join(root, "etc", "qemu.conf"), "w", encoding="utf-8") as stream:
        stream.write(conf_text(read_settings(QEMU_CONF)))
    with contextlib.suppress(OSError, shutil.Error):
        shutil.copytree(CAPABILITIES, os.path.join(root, "cache", "qemu", "capabilities"))


def _serve(root: str, answers: t.IO[str]) -> None:
    lib = library()
    lib.registerErrorHandler(lambda context, error: None, None)
    lib.virEventRegisterDefaultImpl()
    threading.Thread(target=_events, daemon=True).start()
    try:
        connection = lib.open(f"qemu:///embed?root={root}")
    except lib.libvirtError as exc:
        _tell(answers, {"error": str(exc).strip().rstrip(".")})
        return
    _tell(answers, {})
    for line in sys.stdin:
        _tell(answers, _answer(connection, root, **json.loads(line)))


def _events() -> None:
    lib = library()
    while True:
        lib.virEventRunDefaultImpl()


def _tell(answers: t.IO[str], answer: dict[str, t.Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _answer(connection: t.Any, root: str, xml: str, validate: bool) -> dict[str, t.Any]:
    lib = library()
    ignored = None
    try:
        try:
            domain = connection.defineXMLFlags(xml, lib.VIR_DOMAIN_DEFINE_VALIDATE if validate else 0)
        except lib.libvirtError as exc:
            if not validate:
                raise
            ignored = str(exc).strip().rstrip(".")
            domain = connection.defineXMLFlags(xml, 0)
        text = domain.XMLDesc(lib.VIR_DOMAIN_XML_INACTIVE | lib.VIR_DOMAIN_XML_SECURE)
    except lib.libvirtError as exc:
        return {"error": str(exc).strip().rstrip("."), "code": libvirt_code(exc)}
    # The document may name variables and a TPM that are there for real: they are not ours.
    keep = (constant("VIR_DOMAIN_UNDEFINE_KEEP_NVRAM") or 0) | (constant("VIR_DOMAIN_UNDEFINE_KEEP_TPM") or 0)
    try:
        domain.undefineFlags(keep)
    except lib.libvirtError:
        domain.undefine()
    return {"xml": system_paths(text, root), "ignored": ignored}
