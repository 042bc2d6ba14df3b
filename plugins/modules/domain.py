#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: domain
short_description: Define, start, pause, save, shut down or remove a domain
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Makes a domain have the definition and be in the state that is asked for, as C(virsh define) and its kin do.
  - A definition is compared by what it means. Order of elements and attributes, white space, comments, units, and everything that
    libvirt adds by itself (defaults, controllers, addresses, generated UUID and MAC addresses) are no difference; anything else is.
  - For that, libvirt itself is asked what it would make of the document, in a dry run that no daemon sees. So check mode refuses what
    libvirt would refuse, and announces exactly what will change.
  - What a document leaves open is taken over from the definition that exists. This goes for the UUID, the generation ID, the MAC
    addresses, the version behind a machine type such as V(q35), the places of devices on their buses, and where the document names no
    PCI controller, the layout of the PCI buses.
  - Secrets in the definition, such as the password of a VNC server, are compared, and are never shown.
  - Never deletes a disk, and never stops a domain unless an option says so.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._actiongroup_kvm
  - virtops.kvm._connection
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - The definitions before and after are shown in one fixed order, so that only what changes stands out. Secrets are hidden.
  idempotent:
    support: full
options:
  name:
    description:
      - Name or UUID of the domain.
      - May be left out where O(xml) or O(src) says it, and must not contradict it.
    type: str
  xml:
    description:
      - The definition, as libvirt's domain XML. It may hold secrets, so it is kept out of every log.
    type: str
  src:
    description:
      - Path of a file on the host that holds the definition.
    type: path
  state:
    description:
      - V(defined) has a definition, and is in whatever state it is.
      - V(running) is started, resumed, woken up, or goes on from its saved state.
      - V(shutoff) is off. A guest that runs is asked to shut down; see O(shutdown_timeout). A domain with a saved state is off; the saved
        state is kept unless O(managed_save=delete).
      - V(paused) has its processors stopped; a domain that is off is started that way.
      - V(saved) has its running state saved for its next start, and is off.
      - V(absent) has no definition. Its disks stay. See O(nvram), O(tpm), O(managed_save), O(snapshots) and O(checkpoints) for the rest.
    type: str
    choices: [defined, running, shutoff, paused, saved, absent]
    default: defined
  mapping:
    description:
      - What differs on this host from the document, if it comes from another one.
      - Keys are V(disks) (target in the guest to path), V(paths) (path prefix to path prefix), V(pools), V(networks), V(bridges) (name to
        name), V(graphics_listen) (an address), V(emulator) and V(nvram) (a path).
      - A mapping that names what the document does not have is an error.
    type: dict
    default: {}
  autostart:
    description:
      - Whether the domain starts with the host. Left as it is when not given.
    type: bool
  shutdown_timeout:
    description:
      - How long a guest may take to shut down, in seconds. What then happens, O(shutdown_action) says.
    type: float
    default: 300
  shutdown_action:
    description:
      - What to do when the guest has not shut down in time. V(fail) fails, and the guest runs on.
      - V(destroy) ends it as if its power cord were pulled.
    type: str
    choices: [fail, destroy]
    default: fail
  may_stop:
    description:
      - Whether O(state=absent) may shut down a domain that is active. Without it, such a domain is left alone and the task fails.
    type: bool
    default: false
  nvram:
    description:
      - What O(state=absent) does with the file of the firmware's variables. V(refuse) fails where there is one.
    type: str
    choices: [refuse, keep, delete]
    default: refuse
  tpm:
    description:
      - What O(state=absent) does with the state of an emulated TPM. V(refuse) fails where there is one.
    type: str
    choices: [refuse, keep, delete]
    default: refuse
  managed_save:
    description:
      - What O(state=absent) does with a saved state. V(refuse) fails where there is one.
      - With O(state=shutoff), V(delete) deletes it, and V(refuse) leaves it.
    type: str
    choices: [refuse, delete]
    default: refuse
  snapshots:
    description:
      - What O(state=absent) does with what libvirt knows of snapshots. V(refuse) fails where there are any.
      - V(delete) deletes that knowledge alone; what is in images stays there.
    type: str
    choices: [refuse, delete]
    default: refuse
  checkpoints:
    description:
      - What O(state=absent) does with what libvirt knows of checkpoints. V(refuse) fails where there are any.
      - V(delete) deletes that knowledge alone; what is in images stays there.
    type: str
    choices: [refuse, delete]
    default: refuse
notes:
  - The dry run uses libvirt's QEMU driver on the host itself, in a folder of its own that goes with it. For an O(uri) other than
    V(qemu:///system), and where the driver is not installed, documents are compared by the collection's own knowledge of what libvirt
    adds, and the task warns.
  - A domain that is active keeps its old definition until it is started again; RV(restart_needed) tells so.
seealso:
  - module: virtops.kvm.domain_info
  - module: virtops.kvm.domain_migration
"""

EXAMPLES = r"""
- name: Define a domain and have it run, now and after every start of the host
  virtops.kvm.domain:
    xml: "{{ lookup('ansible.builtin.template', 'web01.xml.j2') }}"
    state: running
    autostart: true

- name: See what a document would change; run this with --check --diff
  virtops.kvm.domain:
    src: /root/web01.xml

- name: Define here what was written for another host
  virtops.kvm.domain:
    src: /root/web01.xml
    mapping:
      disks:
        vda: /var/lib/libvirt/images/web01-copy.qcow2
      networks:
        lab: default

- name: Shut a domain down, and fail when it takes more than a minute
  virtops.kvm.domain:
    name: web01
    state: shutoff
    shutdown_timeout: 60

- name: Save the running state of a domain
  virtops.kvm.domain:
    name: web01
    state: saved

- name: Remove a domain with its saved state and firmware variables, and keep its disks
  virtops.kvm.domain:
    name: web01
    state: absent
    managed_save: delete
    nvram: delete
"""

RETURN = r"""
name:
  description: The name of the domain.
  returned: success
  type: str
  sample: web01
uuid:
  description: Its UUID; null in check mode for a new domain without one, and for one that is not there.
  returned: success
  type: str
  sample: 4dea22b3-1d52-d8f3-2516-782e98ab3fa0
state:
  description:
    - Its state, in check mode the one it would have. One of the choices of O(state) but V(defined), or V(crashed), V(pmsuspended),
      V(shutdown) or V(nostate) where that is what libvirt says.
  returned: success
  type: str
  sample: running
autostart:
  description: Whether it starts with the host, in check mode whether it would.
  returned: success
  type: bool
  sample: true
restart_needed:
  description: Whether this task changed, or would change, the definition of a domain that goes on with its old one.
  returned: success
  type: bool
  sample: false
msg:
  description: What the user should know; only where there is something.
  returned: sometimes
  type: str
  sample: The domain 'web01' is running with its old definition; the new one takes effect at its next start.
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: What is changed.
      type: str
      sample: definition of domain web01
    action:
      description:
        - V(define), V(redefine), V(set), V(start), V(start paused), V(resume), V(wake up), V(pause), V(save), V(delete the saved state),
          V(shut down) or V(undefine).
      type: str
      sample: redefine
    before:
      description: The state or value before.
      type: raw
    after:
      description: The state or value after; for a definition that exists a list of what differs, one line each.
      type: raw
      sample: ["memory: '1048576' -> '2097152'"]
error_code:
  description:
    - A stable code for the failure. V(XML_INVALID) and V(DEFINITION_REFUSED) for a document; V(NAME_CONFLICT), V(UUID_CONFLICT),
      V(DOMAIN_NOT_FOUND), V(DOMAIN_ACTIVE), V(DOMAIN_HAS_MORE), V(DOMAIN_TRANSIENT), V(STATE_IMPOSSIBLE) and V(INVALID_OPTION) before
      anything is changed; V(SHUTDOWN_TIMEOUT) for a guest that does not shut down.
  returned: failure
  type: str
  sample: DOMAIN_HAS_MORE
details:
  description: Evidence for the failure.
  returned: failure
  type: dict
"""

import contextlib
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.specs import connection_spec
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.define import DomainGateway
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.lifecycle import (
    Plan,
    Wanted,
    carry_out,
    diff_texts,
    make_plan,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.lifecycle import STATES, Leftovers, Present
from ansible_collections.virtops.kvm.plugins.module_utils._xml.carry import document
from ansible_collections.virtops.kvm.plugins.module_utils._xml.rewrite import Mapping, rewrite

Params = dict[str, t.Any]
GatewayMaker = t.Callable[[str], DomainGateway]
_LEFTOVERS = {"nvram": True, "tpm": True, "managed_save": False, "snapshots": False, "checkpoints": False}


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    leftovers = {
        name: {
            "type": "str",
            "choices": ["refuse", "keep", "delete"] if keep else ["refuse", "delete"],
            "default": "refuse",
        }
        for name, keep in _LEFTOVERS.items()
    }
    return {
        **connection_spec(),
        **leftovers,
        "name": {"type": "str"},
        "xml": {"type": "str", "no_log": True},
        "src": {"type": "path"},
        "state": {"type": "str", "choices": list(STATES), "default": "defined"},
        "mapping": {"type": "dict", "default": {}},
        "autostart": {"type": "bool"},
        "shutdown_timeout": {"type": "float", "default": 300},
        "shutdown_action": {"type": "str", "choices": ["fail", "destroy"], "default": "fail"},
        "may_stop": {"type": "bool", "default": False},
    }


def wanted_of(params: Params) -> Wanted:
    """What the options ask for. Raises InputError, and KvmError XML_INVALID."""
    mapping = Mapping.from_user(params["mapping"])
    if params["name"] is not None and not params["name"].strip():
        raise InputError("name", "The option 'name' is empty; give the name or UUID of a domain.")
    if params["shutdown_timeout"] < 0:
        raise InputError(
            "shutdown_timeout", f"shutdown_timeout must not be negative, as {params['shutdown_timeout']:g} is."
        )
    text = params["xml"] if params["xml"] is not None else read(params["src"])
    if text is None and not mapping.empty:
        raise InputError("mapping", "A mapping says what differs from a document; give the document by xml or src.")
    return Wanted(
        state=params["state"],
        name=params["name"],
        xml=rewrite(document(text, params["name"]), mapping) if text is not None else None,
        autostart=params["autostart"],
        may_stop=params["may_stop"],
        shutdown_timeout=params["shutdown_timeout"],
        shutdown_action=params["shutdown_action"],
        leftovers=Leftovers(**{name: params[name] for name in _LEFTOVERS}),
    )


def read(path: str | None) -> str | None:
    """The text of the file at ``path``."""
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise InputError("src", f"The file {path} cannot be read on this host: {reason}.", path=path) from exc


def run(params: Params, check_mode: bool, gateway: GatewayMaker) -> Result:
    """Plan, and unless in check mode carry out."""
    wanted = wanted_of(params)
    with contextlib.closing(gateway(params["uri"])) as domains:
        plan = make_plan(domains, wanted)
        if check_mode or not plan.changes:
            return result(plan, predicted(plan))
        return result(plan, carry_out(domains, wanted, plan))


def predicted(plan: Plan) -> Present | None:
    """The domain as it would be."""
    if plan.state == "absent":
        return None
    return plan.present


def result(plan: Plan, domain: Present | None) -> Result:
    """What the module hands back."""
    autostart = plan.autostart if plan.autostart is not None else bool(plan.present and plan.present.autostart)
    msg = None
    if plan.restart_needed:
        msg = f"The domain '{plan.name}' is {plan.state} with its old definition; the new one takes effect at its next start."
        if plan.state == "saved":
            msg = f"The saved state of '{plan.name}' has its old definition; the new one takes effect when it starts without it."
    return Result(
        values={
            "name": plan.name,
            "uuid": domain.uuid if domain else None,
            "state": plan.state,
            "autostart": autostart and plan.state != "absent",
            "restart_needed": plan.restart_needed,
        },
        changes=plan.changes,
        warnings=plan.warnings,
        diff=dict(diff_texts(plan)),
        msg=msg,
    )


def main() -> None:
    """Run the module."""
    run_module(
        argument_spec(),
        run,
        lambda: DomainGateway,
        requires=("libvirt", "lxml"),
        required_one_of=[("name", "xml", "src")],
        mutually_exclusive=[("xml", "src")],
    )


if __name__ == "__main__":
    main()
