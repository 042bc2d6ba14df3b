# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that Ansible has packed, kept for the next run of the same pytest, with their compiled code beside the sources.

Ansible packs its modules anew for each run, and each run of each module compiles some hundred files on the host: together that
was half of all that the tests in the lab had the processors do. What runs on the hosts is the same: a Python of another version
does not know the compiled code and takes the sources. Where Ansible keeps its packed modules in another form, nothing is compiled.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib.util
import io
import marshal
import os
import pathlib
import pickle
import tempfile
import zipfile

#: The folder of this run of pytest, all of its processes; callback_plugins/virtops_recorder.py shows it to Ansible.
FOLDER = (
    pathlib.Path(tempfile.gettempdir()) / f"virtops-packed-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
)
#: "Unchecked": taken as it is, whatever the time stamps (PEP 552).
_UNCHECKED = (1).to_bytes(4, "little")
_done: set[pathlib.Path] = set()


def compile_new(folder: pathlib.Path = FOLDER) -> None:
    """Add compiled code to what was packed since the last time."""
    for path in sorted(folder.glob("*")):
        if path.suffix == ".lock" or path.name.endswith("-part") or path in _done:
            continue
        _done.add(path)
        packed = pickle.loads(path.read_bytes())
        if dataclasses.is_dataclass(packed) and not isinstance(packed, type) and hasattr(packed, "zip_data"):
            data = base64.b64encode(with_compiled(base64.b64decode(packed.zip_data)))
            beside = path.with_name(f"{path.name}.{os.getpid()}-part")
            beside.write_bytes(pickle.dumps(dataclasses.replace(packed, zip_data=data)))
            beside.replace(path)


def with_compiled(data: bytes) -> bytes:
    """The zip with compiled code beside each source, where it has none yet."""
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        names = set(archive.namelist())
        for name in sorted(names):
            if name.endswith(".py") and f"{name}c" not in names:
                source = archive.read(name)
                code = marshal.dumps(compile(source, name, "exec", dont_inherit=True))
                head = importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(source)
                archive.writestr(f"{name}c", head + code)
    return buffer.getvalue()
