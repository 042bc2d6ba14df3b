#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_authority
short_description: Keep a certificate authority for a fleet of hypervisors, and sign and revoke its certificates
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Keeps an authority in a folder, on the controller or on a host of your choice. Its private key is made there, is readable by its owner
    alone, and is in no result, log or difference.
  - Signs a request of M(virtops.kvm.host_certificate) for the names that O(names) says, whatever the request itself says.
  - The folder has openssl's own book (C(index.txt)), so a person can go on with C(openssl ca) there. Back it up, and guard it.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._actiongroup_kvm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Each O(request) is signed, as M(virtops.kvm.host_certificate) makes one only where a certificate is needed. All else is idempotent.
options:
  directory:
    description: The folder of the authority, as an absolute path. It is made where it is missing.
    type: path
    required: true
  common_name:
    description: What a new authority is called in its certificates.
    type: str
    default: virtops.kvm authority
  days:
    description: For how many days a new authority is valid.
    type: int
    default: 3650
  request:
    description: A request to sign, from RV(virtops.kvm.host_certificate#module:request). Empty signs nothing.
    type: str
    default: ""
  names:
    description: The names and addresses of the host that asks, under which others reach it.
    type: list
    elements: str
    default: []
  host_days:
    description: For how many days the signed certificate is valid; at most as long as the authority.
    type: int
    default: 365
  revoked:
    description:
      - Serial numbers of certificates to take back, as in RV(signed). That is for good; a number that is left out later stays revoked.
    type: list
    elements: str
    default: []
requirements:
  - C(openssl) 1.1.1 or newer on the host
seealso:
  - module: virtops.kvm.host_certificate
"""

EXAMPLES = r"""
- name: Have an authority on the controller
  virtops.kvm.certificate_authority:
    directory: /srv/fleet-authority
  delegate_to: localhost
  run_once: true

- name: Sign what a host asked for
  virtops.kvm.certificate_authority:
    directory: /srv/fleet-authority
    request: "{{ asked.request }}"
    names: [kvm1.example.com, 192.0.2.11]
  delegate_to: localhost
  register: signed

- name: Take the certificate of a host back that was stolen
  virtops.kvm.certificate_authority:
    directory: /srv/fleet-authority
    revoked: [516210C56C0B3F5A41E2329D426012CF74705C23]
  delegate_to: localhost
"""

RETURN = r"""
certificate:
  description: The certificate of the authority, in PEM; empty in check mode where there is none yet.
  returned: success
  type: str
revocations:
  description: The list of what was taken back (CRL), in PEM; empty while that is nothing.
  returned: success
  type: str
issued:
  description: The certificate for O(request), in PEM; empty without a request, and in check mode.
  returned: success
  type: str
signed:
  description: All that the authority signed.
  returned: success
  type: list
  elements: dict
  contains:
    serial:
      description: Its serial number.
      type: str
      sample: 516210C56C0B3F5A41E2329D426012CF74705C23
    name:
      description: Whom it names first.
      type: str
      sample: kvm1.example.com
    not_after:
      description: The moment until which it is valid, in seconds since the epoch.
      type: float
    revoked:
      description: Whether it was taken back.
      type: bool
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The authority, or the certificate.
      type: str
    action:
      description: V(create), V(sign) or V(revoke).
      type: str
    before:
      description: Null, or the name of a certificate that is taken back.
      type: str
    after:
      description: What there is now; null for what was taken back.
      type: str
error_code:
  description:
    - A stable code for the failure.
    - V(AUTHORITY_DAMAGED), V(AUTHORITY_EXPIRED), V(CERTIFICATE_UNKNOWN) (no certificate with a number of O(revoked) was signed here),
      V(INVALID_OPTION), V(OPENSSL_FAILED), V(PROGRAM_MISSING) or V(TIMEOUT).
  returned: failure
  type: str
  sample: AUTHORITY_EXPIRED
details:
  description: Evidence for the failure.
  returned: failure
  type: dict
"""

import contextlib
import time
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._host.authority import (
    DAY,
    Authority,
    Signed,
    check_common_name,
    check_folder,
    check_names,
    check_request,
)
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change

_WARN_DAYS = 90


class Gateway:
    """Authorities in folders of this host, and its clock."""

    def open(self, folder: str) -> Authority:
        """The authority in a folder."""
        return Authority(folder)

    def now(self) -> float:
        """The time."""
        return time.time()


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        "directory": {"type": "path", "required": True},
        "common_name": {"type": "str", "default": "virtops.kvm authority"},
        "days": {"type": "int", "default": 3650},
        "request": {"type": "str", "default": ""},
        "names": {"type": "list", "elements": "str", "default": []},
        "host_days": {"type": "int", "default": 365},
        "revoked": {"type": "list", "elements": "str", "default": []},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: Gateway) -> Result:
    """Bring the authority to what is asked for, and sign."""
    for option in ("days", "host_days"):
        if not 1 <= params[option] <= 36500:
            raise InputError(option, f"{option} has to be from 1 to 36500 days, not {params[option]}.")
    name = check_common_name(params["common_name"])
    request = check_request(params["request"]) if params["request"] else ""
    names = check_names(params["names"]) if request else ()
    authority = gateway.open(check_folder(params["directory"]))
    changes: list[Change] = []
    issued = ""
    with contextlib.nullcontext() if check_mode else authority.alone():
        if not authority.certificate():
            changes.append(Change(authority.folder, "create", None, name))
            if not check_mode:
                authority.create(name, params["days"])
        there = bool(authority.certificate())
        left = authority.ends() - gateway.now() if there else params["days"] * DAY
        _refuse_expired(authority.folder, left)
        to_revoke = _to_revoke(authority.signed() if there else [], params["revoked"])
        changes += [Change(one.serial, "revoke", one.name, None) for one in to_revoke]
        if to_revoke and not check_mode:
            authority.revoke([one.serial for one in to_revoke])
        if request:
            changes.append(Change(names[0], "sign", None, ", ".join(names)))
            issued = "" if check_mode else authority.sign(request, names, params["host_days"])
        warnings = []
        if left < _WARN_DAYS * DAY:
            warnings.append(
                f"The authority in {authority.folder} ends in {int(left / DAY)} days. Move its folder away before, and run this again: a "
                "new authority signs new certificates for all hosts."
            )
        return Result(
            values={
                "certificate": authority.certificate(),
                "revocations": authority.revocations(),
                "issued": issued,
                "signed": authority.signed() if there else [],
            },
            changes=tuple(changes),
            warnings=tuple(warnings),
        )


def _refuse_expired(folder: str, left: float) -> None:
    if left <= 0:
        raise KvmError(
            "AUTHORITY_EXPIRED",
            f"The authority in {folder} has ended, and nothing that it signed is valid any more. Move its folder away and run this again: "
            "a new authority signs new certificates for all hosts.",
            directory=folder,
        )


def _to_revoke(signed: t.Sequence[Signed], serials: t.Sequence[str]) -> list[Signed]:
    known = {one.serial: one for one in signed}
    wanted = [serial.replace(":", "").upper() for serial in serials]
    strange = [serial for serial in wanted if serial not in known]
    if strange:
        raise KvmError(
            "CERTIFICATE_UNKNOWN",
            f"This authority has signed no certificate with the serial number {strange[0]}; 'signed' in its result lists all.",
            serials=strange,
        )
    return [known[serial] for serial in dict.fromkeys(wanted) if not known[serial].revoked]


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Gateway)


if __name__ == "__main__":
    main()
