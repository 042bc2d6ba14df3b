# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Keys, requests and certificates by the program openssl, which is on every host; a Python library for them is not.

Keys go through pipes and files that only their owner reads, never through a command line.
"""

from __future__ import annotations

import ipaddress
import re
import tempfile
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command

_CONFIG = "[req]\ndistinguished_name = dn\nprompt = no\n[dn]\nCN = request\n"
_PATIENCE = 60.0
_PIPE = "/dev/stdin"


def openssl(words: t.Sequence[str], what: str, **options: t.Any) -> str:
    """Run openssl; gives what it prints. Raises KvmError OPENSSL_FAILED: '``what`` failed: its last words'."""
    return command.check(["openssl", *words], "OPENSSL_FAILED", what, timeout=_PATIENCE, **options).stdout


def new_key() -> str:
    """A new private key (elliptic curve P-256), in PEM."""
    words = [
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-pkeyopt",
        "ec_param_enc:named_curve",
    ]
    return openssl(words, "Making a private key")


def request(key: str) -> str:
    """A request for a certificate of the private key in the file ``key``. Whom it shall name, the authority is told, not asked."""
    return openssl(["req", "-new", "-config", _PIPE, "-key", key], "Making a request for a certificate", input=_CONFIG)


def public_of_key(key: str) -> str | None:
    """The public half of the private key in a PEM text; None where it is none, or has a pass phrase."""
    # A daemon would not know the pass phrase; nobody is to be asked for it here.
    done = command.run(["openssl", "pkey", "-in", _PIPE, "-passin", "pass:", "-pubout"], input=key, timeout=_PATIENCE)
    return done.stdout.strip() if done.status == 0 else None


def public_of_certificate(certificate: str) -> str | None:
    """The public key in a certificate; None where it is none."""
    done = command.run(["openssl", "x509", "-in", _PIPE, "-noout", "-pubkey"], input=certificate, timeout=_PATIENCE)
    return done.stdout.strip() if done.status == 0 else None


class Told(t.NamedTuple):
    """What a certificate says of itself: ``names`` are its DNS names and addresses."""

    serial: str
    names: frozenset[str]
    text: str


def told(certificate: str) -> Told | None:
    """Read a certificate; None where it is none."""
    words = ["openssl", "x509", "-in", _PIPE, "-noout", "-serial", "-text"]
    done = command.run(words, input=certificate, timeout=_PATIENCE)
    return parse(done.stdout) if done.status == 0 else None


def parse(text: str) -> Told:
    """What ``openssl x509 -serial -text`` prints."""
    serial = re.search(r"^serial=([0-9A-F]+)$", text, re.MULTILINE)
    names = re.search(r"X509v3 Subject Alternative Name:[^\n]*\n\s*([^\n]+)", text)
    found = [part.strip().partition(":") for part in (names[1] if names else "").split(",")]
    return Told(
        serial[1] if serial else "",
        frozenset(canonical(value) for kind, _colon, value in found if kind in ("DNS", "IP Address")),
        text,
    )


def canonical(name: str) -> str:
    """A name or address in the form in which two of them can be compared; openssl prints addresses of IPv6 in a form of its own."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower().rstrip(".")


def vouches(authority: str, certificate: str, revoked: str = "") -> str:
    """What keeps an authority from vouching for a certificate, as that of a server and of a client, now and by its list of what it took
    back; empty when nothing does. All are texts in PEM, and a certificate may bring those between it and the authority."""
    with tempfile.TemporaryDirectory(prefix="virtops-kvm-") as folder:
        for name, text in (("ca", authority), ("certificate", certificate), ("crl", revoked)):
            with open(f"{folder}/{name}", "w", encoding="utf-8") as stream:
                stream.write(text)
        words = ["openssl", "verify", "-CAfile", f"{folder}/ca", "-untrusted", f"{folder}/certificate"]
        words += ["-crl_check", "-CRLfile", f"{folder}/crl"] if revoked else []
        for purpose in ("sslserver", "sslclient"):
            done = command.run([*words, "-purpose", purpose, f"{folder}/certificate"], timeout=_PATIENCE)
            if done.status != 0:
                said = [
                    line.rpartition("lookup: ")[2].strip() for line in done.stderr.splitlines() if "lookup: " in line
                ]
                return said[0] if said else done.reason
    return ""


def signed_list(authority: str, revocations: str) -> bool:
    """Whether a list of what was taken back (CRL) is one by this authority. Both are texts in PEM."""
    with tempfile.TemporaryDirectory(prefix="virtops-kvm-") as folder:
        with open(f"{folder}/ca", "w", encoding="utf-8") as stream:
            stream.write(authority)
        words = ["openssl", "crl", "-in", _PIPE, "-noout", "-CAfile", f"{folder}/ca"]
        done = command.run(words, input=revocations, timeout=_PATIENCE)
    # Its exit status is that of reading the list, in some versions.
    return done.status == 0 and "verify OK" in done.stderr
