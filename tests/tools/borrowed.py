# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Collections of others that tests need: fetched once, into the cache, without what else comes with them."""

from __future__ import annotations

import hashlib
import pathlib
import shutil
import zipfile

from tests.tools import venvs
from tests.tools.ground import REPOSITORY, Refusal, cache, locked, run, say

_INSIDE = "ansible_collections/awx/awx/"


def awx() -> pathlib.Path:
    """A directory for ANSIBLE_COLLECTIONS_PATH that has awx.awx. It comes out of the Python package that carries it."""
    wanted = REPOSITORY / "tests" / "tools" / "requirements-awx.txt"
    root = cache() / "borrowed" / f"awx-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:12]}"
    complete = root / "complete"
    with locked(root):
        if not complete.exists():
            shutil.rmtree(root, ignore_errors=True)
            say(f"fetching awx.awx with pip into {root}: {wanted.name}")
            packages = root / "packages"
            python = venvs.ensure(venvs.MAIN).python
            options = ["--quiet", "--no-input", "--disable-pip-version-check", "--retries", "5", "--no-deps"]
            run([python, "-m", "pip", "download", *options, "--only-binary", ":all:", "-d", packages, "-r", wanted])
            for package in packages.glob("*.whl"):
                with zipfile.ZipFile(package) as opened:
                    opened.extractall(root, [name for name in opened.namelist() if name.startswith(_INSIDE)])
            shutil.rmtree(packages)
            if not (root / _INSIDE / "MANIFEST.json").exists():
                raise Refusal(f"What {wanted.name} names does not carry awx.awx; name a version that does.")
            complete.touch()
    return root
