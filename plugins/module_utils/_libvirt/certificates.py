# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The certificates of this host: what they say, and whether this host's own authority vouches for them, proven by a handshake."""

from __future__ import annotations

import os
import ssl
import stat
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.conffile import Value, text_setting
from ansible_collections.virtops.kvm.plugins.module_utils._core.x509 import Identity, read_pem
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.localhost import tls_folder
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import (
    EXPIRED,
    LIBVIRT_CLIENT,
    LIBVIRT_SERVER,
    MIGRATION,
    NOT_YET,
    UNTRUSTED,
    UNUSABLE,
    Certificate,
)

#: OpenSSL's numbers for what it finds (x509_vfy.h).
_VERIFY = {9: NOT_YET, 10: EXPIRED, 18: UNTRUSTED, 19: UNTRUSTED, 20: UNTRUSTED, 21: UNTRUSTED, 7: UNTRUSTED}
_STEPS = 20


class Place(t.NamedTuple):
    """Where the files of one certificate are; ``client`` tells that it is shown to servers."""

    purpose: str
    certificate: str
    key: str
    authority: str
    client: bool = False


def places(qemu: t.Mapping[str, Value], daemon: t.Mapping[str, Value], root: str = "/") -> list[Place]:
    """Where libvirt and QEMU look on this host, by its qemu.conf and the configuration of the daemon that listens."""
    folder = tls_folder(qemu, root)
    authority = text_setting(daemon, "ca_file") or "/etc/pki/CA/cacert.pem"
    return [
        Place(
            LIBVIRT_SERVER,
            text_setting(daemon, "cert_file") or "/etc/pki/libvirt/servercert.pem",
            text_setting(daemon, "key_file") or "/etc/pki/libvirt/private/serverkey.pem",
            authority,
        ),
        Place(
            LIBVIRT_CLIENT,
            "/etc/pki/libvirt/clientcert.pem",
            "/etc/pki/libvirt/private/clientkey.pem",
            "/etc/pki/CA/cacert.pem",
            client=True,
        ),
        Place(MIGRATION, f"{folder}/server-cert.pem", f"{folder}/server-key.pem", f"{folder}/ca-cert.pem"),
    ]


def read_certificates(found: t.Iterable[Place], root: str = "/") -> tuple[Certificate, ...]:
    """Those certificates that are there."""

    def here(path: str) -> str:
        return os.path.join(root, path.lstrip("/"))

    return tuple(
        _read(place, here)
        for place in found
        if os.path.exists(here(place.certificate)) or os.path.exists(here(place.key))
    )


def _read(place: Place, here: t.Callable[[str], str]) -> Certificate:
    authorities = tuple(sorted(one.fingerprint for one in _identities(here(place.authority))))
    known = _identities(here(place.certificate))
    exposed = _exposed(here(place.key))
    if not known:
        detail = f"there is no certificate in {place.certificate}"
        return Certificate(
            place.purpose,
            place.certificate,
            authorities=authorities,
            problem=UNUSABLE,
            detail=detail,
            key_exposed=exposed,
        )
    one = known[0]
    problem, detail = verify(here(place.certificate), here(place.key), here(place.authority), client=place.client)
    return Certificate(
        place.purpose,
        place.certificate,
        one.subject,
        one.issuer,
        one.not_before,
        one.not_after,
        authorities,
        problem,
        detail,
        exposed,
    )


def _identities(path: str) -> list[Identity]:
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return read_pem(stream.read())
    except (OSError, ValueError):
        return []


def _exposed(path: str) -> bool:
    try:
        return bool(stat.S_IMODE(os.stat(path).st_mode) & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:
        return False


def verify(certificate: str, key: str, authority: str, *, client: bool = False) -> tuple[str, str]:
    """Whether ``authority`` vouches for ``certificate`` and ``key`` belongs to it: a word for the problem and OpenSSL's own, both empty
    when all is well. Proven by a TLS handshake in memory, in the role that the certificate has."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname = False
    asking.verify_mode = ssl.CERT_NONE
    judge = server if client else asking
    judge.verify_mode = ssl.CERT_REQUIRED
    try:
        judge.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as exc:
        return UNUSABLE, f"the file of authorities {authority} cannot be read ({_words(exc)})"
    try:
        for context in (server, asking) if client else (server,):
            # A key with a pass phrase is of no use to a daemon either; nobody is to be asked for it.
            context.load_cert_chain(certificate, key, password=str)
    except (OSError, ValueError, ssl.SSLError) as exc:
        return UNUSABLE, f"certificate and key do not go together, or cannot be read ({_words(exc)})"
    try:
        _shake_hands(server, asking)
    except ssl.SSLCertVerificationError as exc:
        return _VERIFY.get(exc.verify_code, UNUSABLE), exc.verify_message
    except (OSError, ssl.SSLError) as exc:
        return UNUSABLE, _words(exc)
    return "", ""


def _words(error: BaseException) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """A handshake of both, each of which writes into what the other reads."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [server.wrap_bio(up, down, server_side=True), client.wrap_bio(down, up)]
    left = set(range(2))
    for step in range(_STEPS):
        at = 1 - step % 2
        if at in left:
            try:
                ends[at].do_handshake()
                left.discard(at)
            except ssl.SSLWantReadError:
                continue
        if not left:
            return
    raise OSError("the handshake did not end")
