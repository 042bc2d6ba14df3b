# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""An authority for the certificates of a fleet: a folder with its key, its certificate, and what it signed and took back.

``index.txt`` is openssl's own book of what was signed, so that a person can go on with ``openssl ca`` there.
"""

from __future__ import annotations

import calendar
import contextlib
import dataclasses
import ipaddress
import os
import re
import time
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import statefile, x509
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock, wait_until
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._host import openssl

DAY = 86400.0
#: Clocks of hosts may be behind: what is signed is valid from a little earlier on.
_BEFORE = 3600.0
_PATIENCE = 120.0
_FOLDER = re.compile(r"/[\w.+@~ -]+(/[\w.+@~ -]+)*/?")
_COMMON_NAME = re.compile(r"[\w.][\w .,()@:-]{0,62}[\w.)]?")
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?")
_REQUEST = re.compile(
    r"-----BEGIN (NEW )?CERTIFICATE REQUEST-----\n[A-Za-z0-9+/=\s]+-----END (NEW )?CERTIFICATE REQUEST-----\s*"
)
#: Without keyEncipherment libvirt 9 and 10.0 do not start, nor take QEMU 7 and 8 a stream, whatever the kind of the key.
_CONFIG = """[ca]
default_ca = fleet
[fleet]
database = {folder}/index.txt
new_certs_dir = {folder}/issued
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
default_md = sha256
policy = names
unique_subject = no
rand_serial = yes
copy_extensions = none
default_crl_days = {crl_days}
[names]
commonName = supplied
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[host]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = serverAuth,clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
{names}
"""


@dataclasses.dataclass(frozen=True)
class Signed:
    """A certificate that was signed. ``not_after`` is its end in seconds since the epoch."""

    serial: str
    name: str
    not_after: float
    revoked: bool


def check_folder(folder: str) -> str:
    """The folder of an authority. openssl's configuration, in which it stands, takes some characters for its own."""
    if not _FOLDER.fullmatch(folder) or ".." in folder.split("/"):
        raise InputError(
            "directory",
            f"'{folder}' cannot be the folder of an authority: give an absolute path of letters, digits, and . _ - + @",
        )
    return folder.rstrip("/")


def check_common_name(name: str) -> str:
    """The name of an authority."""
    if not _COMMON_NAME.fullmatch(name):
        raise InputError(
            "common_name", f"'{name}' cannot name an authority: give up to 64 letters, digits, spaces and . , - ( ) @ :"
        )
    return name


def check_names(names: t.Sequence[str]) -> tuple[str, ...]:
    """Names and addresses of a host, each once. Raises InputError for what is neither, so that nothing else gets into a certificate."""
    found: list[str] = []
    for name in names:
        plain = openssl.canonical(name.strip())
        if not is_address(plain) and not _HOST_NAME.fullmatch(plain):
            raise InputError("names", f"'{name}' is neither the name of a host nor an address.", name=name)
        if plain not in found:
            found.append(plain)
    if not found:
        raise InputError("names", "A certificate has to name its host: give at least one name or address.")
    return tuple(found)


def is_address(name: str) -> bool:
    """Whether a name is an address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return "%" not in name


def check_request(request: str) -> str:
    """A request as openssl writes it, and nothing beside it."""
    if not _REQUEST.fullmatch(request):
        raise InputError("request", "This is no request for a certificate in PEM.")
    return request


def parse_index(text: str) -> list[Signed]:
    """openssl's book: status, end, when it was taken back, serial number, file, name; by tabs."""
    found: list[Signed] = []
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) != 6:
            continue
        name = fields[5].rpartition("/CN=")[2]
        found.append(Signed(fields[3].upper(), name, _moment(fields[1]), fields[0] == "R"))
    return found


def _moment(text: str) -> float:
    # Two digits of a year mean 1950 to 2049.
    full = text if len(text) == 15 else f"{'19' if text[:2] >= '50' else '20'}{text}"
    return float(calendar.timegm(time.strptime(full, "%Y%m%d%H%M%SZ")))


def stamp(moment: float) -> str:
    """A time as openssl takes it."""
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(moment))


class Authority:
    """The authority in one folder."""

    def __init__(self, folder: str, now: t.Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._now = now

    def at(self, name: str) -> str:
        """A file of it."""
        return os.path.join(self.folder, name)

    def certificate(self) -> str:
        """Its certificate; empty where there is none yet. Raises AUTHORITY_DAMAGED where one of its halves is missing."""
        certificate, key = self._read("ca.pem"), os.path.exists(self.at("ca.key"))
        if bool(certificate) != key:
            missing = "ca.key" if certificate else "ca.pem"
            raise KvmError(
                "AUTHORITY_DAMAGED",
                f"The authority in {self.folder} lacks {missing}. Bring it back from a backup, or move the folder away to begin with a "
                "new authority, whose certificates then replace all others.",
                path=self.at(missing),
            )
        return certificate

    def ends(self) -> float:
        """When its certificate ends."""
        return x509.read_pem(self.certificate())[0].not_after

    def signed(self) -> list[Signed]:
        """All that it signed, but itself."""
        own = openssl.told(self.certificate())
        return [one for one in parse_index(self._read("index.txt")) if own is None or one.serial != own.serial]

    def revocations(self) -> str:
        """Its list of what it took back; empty while that is nothing."""
        return self._read("crl.pem")

    @contextlib.contextmanager
    def alone(self) -> t.Iterator[None]:
        """Nobody else changes it meanwhile: several hosts ask at the same time."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        lock = statefile.FileLock(self.at("lock"))
        wait_until(
            Clock(),
            lock.try_acquire,
            bool,
            what=f"the authority in {self.folder}, which somebody else uses",
            timeout=_PATIENCE,
            interval=0.05,
        )
        try:
            yield
        finally:
            lock.release()

    def create(self, common_name: str, days: int) -> None:
        """Make key and certificate. The key comes first, and the certificate is what tells that all is there."""
        os.makedirs(self.at("issued"), mode=0o700, exist_ok=True)
        os.chmod(self.folder, 0o700)
        if not os.path.exists(self.at("index.txt")):
            statefile.write_text(self.at("index.txt"), "", 0o600)
        key = openssl.new_key()
        statefile.write_text(self.at("new.key"), key, 0o600)
        asked = openssl.request(self.at("new.key"))
        words = ["-selfsign", "-keyfile", self.at("new.key"), "-extensions", "authority", "-subj", f"/CN={common_name}"]
        made = self._ca([*words, *self._dates(days)], "Making the certificate of the authority", request=asked)
        os.replace(self.at("new.key"), self.at("ca.key"))
        statefile.write_text(self.at("ca.pem"), made, 0o644)

    def sign(self, request: str, names: t.Sequence[str], days: int) -> str:
        """A certificate for ``request``. It names what we are told here, whatever the request says."""
        alternative = ",".join(f"{'IP' if is_address(name) else 'DNS'}:{name}" for name in names)
        words = ["-extensions", "host", "-subj", f"/CN={_subject(names[0])}"]
        what = f"Signing the certificate of {names[0]}"
        ends = min(self._now() + days * DAY, self.ends())
        dates = ["-startdate", stamp(self._now() - _BEFORE), "-enddate", stamp(ends)]
        return self._ca([*words, *dates], what, request=request, names=f"subjectAltName = {alternative}")

    def revoke(self, serials: t.Iterable[str]) -> None:
        """Take certificates back, for good, and write the list of all that were."""
        for serial in serials:
            self._ca(["-revoke", self.at(f"issued/{serial}.pem")], f"Taking back the certificate {serial}")
        # A list that ended would keep everybody out, and a run of the role brings a new one whenever something is added.
        crl_days = max(1, int((self.ends() - self._now()) / DAY))
        made = self._ca(["-gencrl"], "Writing the list of what was taken back", crl_days=crl_days)
        statefile.write_text(self.at("crl.pem"), made, 0o644)

    def _dates(self, days: int) -> list[str]:
        now = self._now()
        return ["-startdate", stamp(now - _BEFORE), "-enddate", stamp(now + days * DAY)]

    def _ca(self, words: t.Sequence[str], what: str, *, request: str = "", names: str = "", crl_days: int = 30) -> str:
        config = self.at("openssl.cnf")
        statefile.write_text(config, _CONFIG.format(folder=self.folder, names=names, crl_days=crl_days), 0o600)
        line = ["ca", "-config", config, "-batch", "-utf8", *words]
        if not request:
            return openssl.openssl(line, what)
        return openssl.openssl([*line, "-notext", "-in", "/dev/stdin"], what, input=request)

    def _read(self, name: str) -> str:
        try:
            with open(self.at(name), encoding="utf-8") as stream:
                return stream.read()
        except FileNotFoundError:
            return ""
        except OSError as exc:
            raise KvmError(
                "AUTHORITY_DAMAGED",
                f"{self.at(name)} cannot be read: {exc.strerror}. The authority's folder belongs to the user who runs this task; run it as "
                "that user.",
                path=self.at(name),
            ) from exc


def _subject(name: str) -> str:
    """The common name has room for 64 characters; the other names, which count, have none such limit."""
    return name[:64]
