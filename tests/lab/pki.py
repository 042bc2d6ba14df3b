# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates for the hosts of a lab, from an authority of its own: libvirt takes `qemu+tls`, and QEMU encrypts its streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .shell import LabError

if TYPE_CHECKING:
    from .host import Host
    from .lab import Lab

AUTHORITY = "/root/lab-pki"  # on the first host, which has openssl
TLS_SOCKET = "libvirtd-tls.socket"
_NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30"
#: $1 the folder, $2 the name of the authority.
MAKE_AUTHORITY = f"""set -e
umask 077; mkdir -p "$1"; cd "$1"
[ -s ca.pem ] || {{
    openssl req -x509 {_NEW_KEY} -quiet -keyout ca.key -out ca.new -subj "/CN=$2" \\
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
    mv ca.new ca.pem
}}
cat ca.pem
"""
#: $1 the folder, $2 the host's name, $3 its full name, $4 its address; prints the key, then the certificate.
SIGN = f"""set -e
umask 077; cd "$1"
openssl req -new {_NEW_KEY} -quiet -keyout "$2.key" -out "$2.csr" -subj "/CN=$3"
printf '%s\\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature \\
    extendedKeyUsage=serverAuth,clientAuth "subjectAltName=DNS:$2,DNS:$3,IP:$4" > "$2.ext"
openssl x509 -req -in "$2.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile "$2.ext" 2> "$2.log" > "$2.pem" ||
    {{ cat "$2.log" >&2; exit 1; }}
cat "$2.key" "$2.pem"
"""
#: What libvirt and QEMU read on a host, where they look by themselves: (folder, authority, certificate and key of each role).
PLACES = (
    ("/etc/pki", "CA/cacert.pem", "libvirt/servercert.pem", "libvirt/private/serverkey.pem"),
    ("/etc/pki", "CA/cacert.pem", "libvirt/clientcert.pem", "libvirt/private/clientkey.pem"),
    ("/etc/pki/qemu", "ca-cert.pem", "server-cert.pem", "server-key.pem"),
    ("/etc/pki/qemu", "ca-cert.pem", "client-cert.pem", "client-key.pem"),
)
#: The daemon has to be down while its listening sockets change.
LISTEN = f"systemctl stop libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd && systemctl start {TLS_SOCKET} libvirtd.socket"
DEAF = f"systemctl stop libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket {TLS_SOCKET} libvirtd; systemctl start libvirtd.socket"


class Pki:
    """Certificates of one lab: `lab.pki`. Guests keep running while they come and go."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def install(self, *hosts: str) -> None:
        """Give these hosts (all, when none is named) certificates of one authority, and let their libvirtd listen for TLS."""
        places = [self.lab.host(name) for name in hosts] or self.lab.hosts
        first = self.lab.hosts[0]
        authority = first.run(["sh", "-c", MAKE_AUTHORITY, "sh", AUTHORITY, f"lab {self.lab.name}"]).stdout
        for place in places:
            words = [AUTHORITY, place.name, place.fqdn, place.address]
            made = first.run(["sh", "-c", SIGN, "sh", *words]).stdout
            head, found, tail = made.partition("-----BEGIN CERTIFICATE-----")
            if not found:
                raise LabError(f"openssl on {first.name} made no certificate for {place.name}: {made}")
            self._write(place, authority, found + tail, head)
            place.run(["sh", "-c", LISTEN])
        for place in places:
            place.wait_healthy()

    def remove(self) -> None:
        """Take all certificates away."""
        for place in self.lab.hosts:
            place.run(["rm", "-rf", "/etc/pki", AUTHORITY])
            place.run(["sh", "-c", DEAF])
            place.wait_healthy()

    @staticmethod
    def _write(place: Host, authority: str, certificate: str, key: str) -> None:
        for folder, *names in PLACES:
            for name, text in zip(names, (authority, certificate, key), strict=True):
                path = f"{folder}/{name}"
                place.run(["mkdir", "-p", path.rpartition("/")[0]])
                place.write(path, text)
                place.run(["chmod", "0600" if text is key else "0644", path])
        # QEMU reads its own key as the user that it runs as.
        place.run(["sh", "-c", "chown libvirt-qemu /etc/pki/qemu/*-key.pem"])
