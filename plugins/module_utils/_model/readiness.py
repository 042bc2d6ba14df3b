# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What is known of a fleet as a whole, and how ready it is: who can take whose domains, what differs, what to do."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._model.domain import Domain
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import BLOCKER, Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.host import Host

#: How a class of domains can go from one host to another: as it is, only by a stop, or not at all.
AS_IS, BY_STOP, NOT = "as_is", "by_stop", "not"
#: How all domains of one host can go to another. OPEN: it has none now, and the way is open.
ALL, ALL_BY_STOP, SOME, NONE, OPEN, SELF = "all", "all_by_stop", "some", "none", "open", "self"

#: What is wrong with a certificate.
EXPIRED, NOT_YET, UNTRUSTED, UNUSABLE = "expired", "not_yet_valid", "untrusted", "unusable"
#: What a certificate is for.
LIBVIRT_SERVER, LIBVIRT_CLIENT, MIGRATION = "libvirt server", "libvirt client", "migration"


@dataclasses.dataclass(frozen=True)
class Certificate:
    """One certificate of a host. Times are seconds since the epoch, None where it cannot be read.

    ``authorities`` are the SHA-256 fingerprints of the certificates in the file of authorities beside it. ``problem`` is EXPIRED, NOT_YET,
    UNTRUSTED or UNUSABLE (then ``detail`` says how), judged by the host itself against its own authority; empty when all is well.
    ``key_exposed`` tells that others than its owner may read the key.
    """

    purpose: str
    path: str
    subject: str = ""
    issuer: str = ""
    not_before: t.Optional[float] = None
    not_after: t.Optional[float] = None
    authorities: tuple[str, ...] = ()
    problem: str = ""
    detail: str = ""
    key_exposed: bool = False


@dataclasses.dataclass(frozen=True)
class Control:
    """Whether this host can open the libvirt of ``peer`` at ``uri``, tried for real; ``message`` is libvirt's where not."""

    peer: str
    uri: str
    opened: bool
    message: str = ""


@dataclasses.dataclass(frozen=True)
class Member:
    """All that one survey learns of one host of the fleet; ``name`` is its inventory name.

    ``settings`` are what qemu.conf and the daemon's configuration say, as ``file: key`` to the value. ``not_before`` and ``not_after``
    are the controller's clock before and after the survey, so that the host's own clock must lie between them. ``cpus`` has libvirt's
    answers for the CPUs of the fleet's guests, by the digest of their description.
    """

    name: str
    host: Host
    domains: tuple[Domain, ...] = ()
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    certificates: tuple[Certificate, ...] = ()
    controls: tuple[Control, ...] = ()
    cpus: dict[str, str] = dataclasses.field(default_factory=dict)
    not_before: t.Optional[float] = None
    not_after: t.Optional[float] = None

    def certificate(self, purpose: str) -> Certificate | None:
        """Its certificate for ``purpose``, if it has one."""
        for certificate in self.certificates:
            if certificate.purpose == purpose:
                return certificate
        return None


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why something cannot go somewhere, once for all the places where it holds. ``pairs`` are how many pairs of a domain and a host
    it keeps apart, ``curable`` tells that a stop cures it; ``classes`` and ``hosts`` (destinations) say where."""

    id: str
    code: str
    text: str
    remedy: str
    curable: bool = False
    pairs: int = 0
    classes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class VmClass:
    """Domains that need the same of a host. ``hosts`` are how many of them each host has."""

    id: str
    title: str
    needs: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    count: int = 0
    hosts: dict[str, int] = dataclasses.field(default_factory=dict)
    domains: tuple[str, ...] = ()
    takers: int = 0


@dataclasses.dataclass(frozen=True)
class Cell:
    """How the domains of one host can go to another. ``as_is``, ``by_stop`` and ``refused`` are numbers of domains; ``way`` are the
    ids of the reasons that keep the two hosts apart, ``classes`` has, for each class that cannot go as it is, how it can go and the ids
    of the reasons that keep this class alone."""

    state: str
    as_is: int = 0
    by_stop: int = 0
    refused: int = 0
    way: tuple[str, ...] = ()
    classes: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Variant:
    """One value that some hosts have."""

    value: str
    hosts: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Drift:
    """Something in which hosts differ that should be alike; the most common value first."""

    area: str
    subject: str
    variants: tuple[Variant, ...] = ()
    remedy: str = ""


@dataclasses.dataclass(frozen=True)
class Baseline:
    """The best CPU model that all hosts have: ``xml`` by libvirt's own reckoning where it was asked, else empty and ``model`` by the
    models that every host lists. ``domains`` (``host/name``) are those that another CPU keeps from some host."""

    model: str = ""
    xml: str = ""
    by_libvirt: bool = False
    shared_models: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Summary:
    """The fleet in numbers. ``pairs`` of two different hosts: all, and those where every domain can go as it is."""

    hosts: int = 0
    unread: int = 0
    domains: int = 0
    classes: int = 0
    pairs: int = 0
    pairs_open: int = 0
    emptiable: int = 0
    stuck: int = 0
    drifts: int = 0
    errors: int = 0
    warnings: int = 0


@dataclasses.dataclass(frozen=True)
class Readiness:
    """The whole answer. ``matrix[i][j]`` is how the domains of host i can go to host j; ``groups`` are hosts that behave alike."""

    name: str
    hosts: tuple[str, ...]
    summary: Summary
    unread: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    classes: tuple[VmClass, ...] = ()
    reasons: tuple[Reason, ...] = ()
    matrix: tuple[tuple[Cell, ...], ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    stuck: tuple[str, ...] = ()
    drift: tuple[Drift, ...] = ()
    baseline: Baseline = Baseline()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What has to be put right."""
        return tuple(finding for finding in self.findings if finding.severity == BLOCKER)
