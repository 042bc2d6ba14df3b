# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The one entry point of all modules: spec, dependencies, run, one catch for every error of ours."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.common.respawn import has_respawned, probe_interpreters_for_module, respawn_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result, failure, success
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError

Params = dict[str, t.Any]
G = t.TypeVar("G")

_INTERPRETERS = ("/usr/libexec/platform-python", "/usr/bin/python3", "/usr/bin/python")
_LABELS = {"libvirt": "libvirt-python", "lxml": "lxml", "jmespath": "jmespath", "nbd": "nbd (python3-libnbd)"}


class Module(AnsibleModule):
    """AnsibleModule, which hands back what it is given and no more."""

    def add_path_info(self, kwargs: Params) -> Params:
        """Ansible would look at what a result names as its path: that replaces the module's own ``state``, and on the mount of a
        server that is down it does not come back."""
        return kwargs


def run_module(
    argument_spec: dict[str, t.Any],
    run: t.Callable[[Params, bool, G], Result],
    gateway: t.Callable[[], G],
    *,
    requires: t.Sequence[str] = (),
    prefers: t.Sequence[str] = (),
    info: bool = False,
    **rules: t.Any,
) -> t.NoReturn:
    """Build the AnsibleModule, make sure of ``requires`` (libvirt, lxml, jmespath, nbd; by respawning onto the system Python if
    need be), call ``run(params, check_mode, gateway())`` and exit with its Result.

    ``rules`` are AnsibleModule's own (mutually_exclusive, required_if ...). Every KvmError becomes one clear failure with
    ``error_code`` and ``details``; anything else is a defect and keeps its traceback.
    """
    module = Module(argument_spec=argument_spec, supports_check_mode=True, **rules)
    _ensure_libraries(module, requires)
    _respawn_for(prefers)
    try:
        result = run(module.params, module.check_mode, gateway())
    except KvmError as error:
        module.fail_json(**failure(error))
    for warning in result.warnings:
        module.warn(warning)
    module.exit_json(**success(result, with_diff=module._diff, info=info))


def _ensure_libraries(module: AnsibleModule, requires: t.Sequence[str]) -> None:
    missing = [name for name in requires if import_error(name) is not None]
    if not missing:
        return
    _respawn_for(missing)
    label = _LABELS[missing[0]]
    module.fail_json(
        msg=missing_required_lib(label),
        error_code="MISSING_LIBRARY",
        details={"library": label},
        exception=import_error(missing[0]),
    )


def _respawn_for(wanted: t.Sequence[str]) -> None:
    """Start again by a Python that has the first of the libraries that this one lacks; returns where there is none."""
    missing = [name for name in wanted if import_error(name) is not None]
    if missing and not has_respawned():
        interpreter = probe_interpreters_for_module(list(_INTERPRETERS), missing[0])
        if interpreter:
            respawn_module(interpreter)


def import_error(name: str) -> str | None:
    """Why a library cannot be imported; None where it can. Only those who need one wait until it is loaded.

    No table of names: Ansible packs with a module what import statements name.
    """
    if name == "libvirt":
        from ansible_collections.virtops.kvm.plugins.module_utils._libvirt import binding as libvirt_binding

        return libvirt_binding.IMPORT_ERROR
    if name == "lxml":
        from ansible_collections.virtops.kvm.plugins.module_utils._xml import binding as xml_binding

        return xml_binding.IMPORT_ERROR
    if name == "nbd":
        from ansible_collections.virtops.kvm.plugins.module_utils._disk import nbd as nbd_binding

        return nbd_binding.IMPORT_ERROR
    from ansible_collections.virtops.kvm.plugins.module_utils._core import query

    return query.IMPORT_ERROR
