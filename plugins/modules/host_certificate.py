#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_certificate
short_description: Give a hypervisor the certificate with which libvirt and QEMU encrypt
version_added: 0.1.0
author: The virtops.kvm authors (!UNKNOWN)
description:
  - Keeps one certificate in all places where libvirt (as server and as client) and QEMU (for memory and disks of moves) look for theirs on
    this host, with the key for each readable by its reader alone, and with the authority's certificate and list of revocations beside it.
  - Without O(certificate) it judges what is there. Where that will not do (missing, ending, not of O(authority), revoked, without one of
    O(names), or with another key), it makes a new private key on the host and returns a request. M(virtops.kvm.certificate_authority) signs
    it, and a second task brings the signed certificate. Until then the old one stays in use.
  - A private key that was made here never leaves the host, and no key is in any result, log or difference.
  - A running libvirt daemon has to be restarted to use a new certificate; M(virtops.kvm.libvirt_daemon) finds that out by itself. QEMU
    reads its certificates when a guest starts or a move begins, so guests are not affected.
extends_documentation_fragment:
  - virtops.kvm._attributes
  - virtops.kvm._actiongroup_kvm
attributes:
  check_mode:
    support: full
    details:
      - No key is made in check mode, so there is no request either; the change is announced.
  diff_mode:
    support: full
    details:
      - Tells which files change and why, and the text of none.
  idempotent:
    support: full
options:
  authority:
    description: The certificate of the authority that all hosts trust, in PEM. May be empty in check mode alone.
    type: str
    required: true
  names:
    description: The names and addresses under which others reach this host. The certificate has to have all of them.
    type: list
    elements: str
    required: true
  revocations:
    description:
      - The authority's list of what it took back (CRL), in PEM. Empty for none; a list that is on the host stays there where it is
        one of O(authority), as nobody who was shut out is to get in again, and goes where it is one of another authority.
    type: str
    default: ""
  certificate:
    description: The certificate to install, in PEM, for the last request or with O(key).
    type: str
    default: ""
  key:
    description: The private key of O(certificate), in PEM without a pass phrase, where you bring your own.
    type: str
    default: ""
  renew_days:
    description:
      - So many days before its end a certificate is renewed. One that you bring gives a warning then.
    type: int
    default: 30
requirements:
  - C(openssl) 1.1.1 or newer on the host
seealso:
  - module: virtops.kvm.certificate_authority
  - module: virtops.kvm.libvirt_daemon
"""

EXAMPLES = r"""
- name: Judge the certificate of this host
  virtops.kvm.host_certificate:
    authority: "{{ authority.certificate }}"
    revocations: "{{ authority.revocations }}"
    names: [kvm1.example.com, 192.0.2.11]
  register: asked

- name: Sign what it asks for
  virtops.kvm.certificate_authority:
    directory: /srv/fleet-authority
    request: "{{ asked.request }}"
    names: [kvm1.example.com, 192.0.2.11]
  delegate_to: localhost
  register: signed
  when: asked.request != ''

- name: Install it
  virtops.kvm.host_certificate:
    authority: "{{ authority.certificate }}"
    revocations: "{{ authority.revocations }}"
    names: [kvm1.example.com, 192.0.2.11]
    certificate: "{{ signed.issued }}"
  when: asked.request != ''

- name: Install a certificate of our own authority
  virtops.kvm.host_certificate:
    authority: "{{ lookup('ansible.builtin.file', 'pki/ca.pem') }}"
    names: [kvm1.example.com]
    certificate: "{{ lookup('ansible.builtin.file', 'pki/kvm1.pem') }}"
    key: "{{ vaulted_key_of_kvm1 }}"
"""

RETURN = r"""
request:
  description: The request to sign, in PEM. Empty where no other certificate is needed, where one was installed, and in check mode.
  returned: success
  type: str
reason:
  description: Why another certificate is needed; empty where it is not.
  returned: success
  type: str
  sample: it ends in less than 30 days
serial:
  description: The serial number of the certificate in use; empty where there is none.
  returned: success
  type: str
not_after:
  description: The moment until which it is valid, in seconds since the epoch; null where there is none.
  returned: success
  type: float
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The file.
      type: str
      sample: /etc/pki/qemu/server-cert.pem
    action:
      description: V(request), V(write), V(replace), V(give) (an owner or mode) or V(remove).
      type: str
    before:
      description: What was there; never the text of a key.
      type: raw
    after:
      description: What is there now; never the text of a key.
      type: raw
error_code:
  description:
    - A stable code for the failure.
    - V(CERTIFICATE_REJECTED) (what was brought will not do), V(INVALID_OPTION), V(OPENSSL_FAILED), V(SETTINGS_UNREADABLE),
      V(OWNERSHIP_REFUSED), V(SYSTEMD_FAILED), V(PROGRAM_MISSING) or V(PROGRAM_TIMEOUT).
  returned: failure
  type: str
  sample: CERTIFICATE_REJECTED
details:
  description: Evidence for the failure.
  returned: failure
  type: dict
"""

import os
import time
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._ansible.entry import run_module
from ansible_collections.virtops.kvm.plugins.module_utils._ansible.results import Result
from ansible_collections.virtops.kvm.plugins.module_utils._core import command, x509
from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import parse_settings
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._host import openssl
from ansible_collections.virtops.kvm.plugins.module_utils._host.authority import check_names
from ansible_collections.virtops.kvm.plugins.module_utils._host.files import Files
from ansible_collections.virtops.kvm.plugins.module_utils._host.hostcert import (
    AUTHORITY,
    CERTIFICATE,
    KEY,
    REVOCATIONS,
    Place,
    Present,
    Readers,
    Seen,
    ending,
    file_changes,
    ownership,
    reason_for_new,
)
from ansible_collections.virtops.kvm.plugins.module_utils._host.systemd import Systemd
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.certificates import places
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.domains import QEMU_CONF
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.localhost import qemu_ids, tls_folder
from ansible_collections.virtops.kvm.plugins.module_utils._model.change import Change

_REQUESTED = "/etc/pki/libvirt/private/requested-key.pem"
_SELINUX = "/sys/fs/selinux/enforce"


class Gateway:
    """The files of this host, and openssl. Tests give it a small tree of their own as ``root``."""

    def __init__(self, root: str = "/") -> None:
        self._files = Files(root)

    def now(self) -> float:
        """The time."""
        return time.time()

    def listener(self) -> str:
        """The daemon that other hosts reach by TLS."""
        return Systemd().listener()

    def text(self, path: str) -> str:
        """What a file says; empty where there is none."""
        return self._files.read(path) or ""

    def places(self) -> list[Place]:
        """Where libvirt and QEMU of this host look, by their settings. The server's own comes first."""
        qemu = parse_settings(self.text(QEMU_CONF))
        # A host may have the files of both kinds of daemons.
        daemon = parse_settings(self.text(f"/etc/libvirt/{self.listener()}.conf"))
        folder = tls_folder(qemu, self._files.root)
        found: dict[str, Place] = {}
        for one in places(qemu, daemon, self._files.root):
            for path, content in ((one.certificate, CERTIFICATE), (one.key, KEY), (one.authority, AUTHORITY)):
                found.setdefault(path, Place(path, content, path.startswith(f"{folder}/")))
        more = [
            Place(f"{folder}/client-cert.pem", CERTIFICATE, True),
            Place(f"{folder}/client-key.pem", KEY, True),
            Place(f"{folder}/ca-crl.pem", REVOCATIONS, True),
            Place(str(daemon.get("crl_file") or "/etc/pki/CA/cacrl.pem"), REVOCATIONS),
        ]
        return [*found.values(), *more]

    def present(self, found: t.Sequence[Place]) -> dict[str, Present]:
        """Those files that are there."""
        seen = {place.path: (self._files.read(place.path), self._files.owner(place.path)) for place in found}
        return {
            path: Present(text, owner) for path, (text, owner) in seen.items() if text is not None and owner is not None
        }

    def readers(self) -> Readers:
        """Who has to read the keys."""
        uid, gid = qemu_ids(parse_settings(self.text(QEMU_CONF)))
        return Readers((uid or 0, gid or 0))

    def judge(self, certificate: str, key: str, authority: str, revocations: str) -> Seen | None:
        """What a certificate is worth; None where it is none."""
        told = openssl.told(certificate) if certificate else None
        if told is None:
            return None
        ends = x509.read_pem(certificate)[0].not_after
        public = openssl.public_of_key(key) if key else None
        fits = public is not None and public == openssl.public_of_certificate(certificate)
        return Seen(told.names, ends, told.serial, openssl.vouches(authority, certificate, revocations), fits)

    def is_list_of(self, authority: str, revocations: str) -> bool:
        """Whether a list of what was taken back is one by this authority."""
        return openssl.signed_list(authority, revocations)

    def request(self) -> str:
        """Make a new key, and a request for it."""
        os.makedirs(self._files.at(os.path.dirname(_REQUESTED)), mode=0o700, exist_ok=True)
        self._files.replace(_REQUESTED, openssl.new_key(), 0o600)
        return openssl.request(self._files.at(_REQUESTED))

    def requested_key(self) -> str:
        """The key of the last request."""
        return self.text(_REQUESTED)

    def forget_request(self) -> None:
        """Its key is in use now."""
        self._files.remove(_REQUESTED)

    def write(self, place: Place, text: str, readers: Readers) -> None:
        """Write one file, and give it its owner and mode; remove it where there is no text."""
        if not text:
            self._files.remove(place.path)
            return
        mode = 0o700 if os.path.basename(os.path.dirname(place.path)) == "private" else 0o755
        os.makedirs(self._files.at(os.path.dirname(place.path)), mode=mode, exist_ok=True)
        self._files.replace(place.path, text, 0o600, ownership(place, readers))
        if os.path.exists(_SELINUX):
            command.run(["restorecon", place.path])


def argument_spec() -> dict[str, t.Any]:
    """The options."""
    return {
        "authority": {"type": "str", "required": True},
        "names": {"type": "list", "elements": "str", "required": True},
        "revocations": {"type": "str", "default": ""},
        "certificate": {"type": "str", "default": ""},
        "key": {"type": "str", "default": "", "no_log": True},
        "renew_days": {"type": "int", "default": 30},
    }


def run(params: dict[str, t.Any], check_mode: bool, gateway: Gateway) -> Result:
    """Bring the certificate to what is asked for, or ask for another one."""
    names = check_names(params["names"])
    authority, revocations, brought, key = (
        _whole(params[name]) for name in ("authority", "revocations", "certificate", "key")
    )
    if not authority and not check_mode:
        raise InputError("authority", "Give the certificate of the authority that all hosts trust; it is empty.")
    if key and not brought:
        raise InputError("key", "A key goes with its certificate; give both, or neither.")
    found = gateway.places()
    present = gateway.present(found)
    texts = {content: _first(found, present, content) for content in (CERTIFICATE, KEY)}
    seen: Seen | None
    warnings: tuple[str, ...] = ()
    if brought:
        texts = {CERTIFICATE: brought, KEY: key or gateway.requested_key()}
        seen = gateway.judge(texts[CERTIFICATE], texts[KEY], authority, revocations)
        _refuse(reason_for_new(seen, names, gateway.now(), 0))
        warnings = ending(seen, gateway.now(), params["renew_days"]) if key else ()
    else:
        seen = gateway.judge(texts[CERTIFICATE], texts[KEY], authority, revocations) if authority else None
        ends = max((one.not_after for one in x509.read_pem(authority)), default=0.0)
        reason = reason_for_new(seen, names, gateway.now(), params["renew_days"], ends)
        if reason:
            request = "" if check_mode else gateway.request()
            change = Change(found[0].path, "request", reason, ", ".join(names))
            return Result(values={"request": request, "reason": reason, **_told(seen)}, changes=(change,))
    wanted = {**texts, AUTHORITY: authority, REVOCATIONS: revocations}
    if not revocations:
        found = [place for place in found if not _is_kept(place, present, authority, gateway)]
    readers = gateway.readers()
    wrong = file_changes(found, present, wanted, readers)
    if not check_mode:
        for place, _change in wrong:
            gateway.write(place, wanted[place.content], readers)
        if brought and not key:
            gateway.forget_request()
    return Result(
        values={"request": "", "reason": "", **_told(seen)},
        changes=tuple(change for _place, change in wrong),
        warnings=warnings,
    )


def _is_kept(place: Place, present: t.Mapping[str, Present], authority: str, gateway: Gateway) -> bool:
    """Whether somebody else keeps a list there of what this authority took back."""
    there = present.get(place.path)
    return place.content == REVOCATIONS and there is not None and gateway.is_list_of(authority, there.text)


def _whole(text: str) -> str:
    """A text in PEM with its last line ended, as templates may have cut that off."""
    return f"{text.strip()}\n" if text.strip() else ""


def _first(found: t.Sequence[Place], present: t.Mapping[str, Present], content: str) -> str:
    path = next(place.path for place in found if place.content == content)
    return present[path].text if path in present else ""


def _told(seen: Seen | None) -> dict[str, t.Any]:
    return {"serial": seen.serial if seen else "", "not_after": seen.not_after if seen else None}


def _refuse(reason: str) -> None:
    if reason:
        raise KvmError(
            "CERTIFICATE_REJECTED",
            f"The certificate that was brought for this host will not do: {reason.replace('there is none', 'it is no certificate')}. "
            "Nothing was changed; bring one of the authority that all hosts trust, with its key, for all names of the host.",
            reason=reason,
        )


def main() -> None:
    """Run the module."""
    run_module(argument_spec(), run, Gateway)


if __name__ == "__main__":
    main()
