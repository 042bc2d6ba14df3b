# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What is wrong with single hosts of a fleet, or with two of them together: identity, certificates, QEMU's user, clocks."""

from __future__ import annotations

import collections
import datetime
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._checks.connectivity import CLOCK_TOLERANCE
from ansible_collections.virtops.kvm.plugins.module_utils._checks.fleet_remedies import remedy_of
from ansible_collections.virtops.kvm.plugins.module_utils._checks.fleet_ways import named
from ansible_collections.virtops.kvm.plugins.module_utils._model.codes import blocker, notice, warning
from ansible_collections.virtops.kvm.plugins.module_utils._model.finding import Finding
from ansible_collections.virtops.kvm.plugins.module_utils._model.readiness import (
    EXPIRED,
    NOT_YET,
    UNTRUSTED,
    Certificate,
    Member,
)

_DAY = 86400.0
_PROBLEMS = {EXPIRED: "CERTIFICATE_EXPIRED", NOT_YET: "CERTIFICATE_NOT_YET_VALID", UNTRUSTED: "CERTIFICATE_UNTRUSTED"}


def check_identity(members: t.Sequence[Member]) -> t.Iterator[Finding]:
    """HOST_UUID_DUPLICATE: libvirt takes hosts with one UUID for one host, and moves nothing between them."""
    owners: dict[str, list[str]] = {}
    for member in members:
        if member.host.uuid:
            owners.setdefault(member.host.uuid, []).append(member.name)
    for uuid, names in sorted(owners.items()):
        if len(names) > 1:
            yield blocker(
                "HOST_UUID_DUPLICATE",
                ", ".join(names),
                f"{named(names)} report the same host UUID {uuid}, so libvirt takes them for one host and moves nothing between them.",
                remedy_of("HOST_UUID_DUPLICATE", ""),
                uuid=uuid,
                hosts=names,
            )


def check_certificates(member: Member, now: float, warn_days: int) -> t.Iterator[Finding]:
    """CERTIFICATE_*, KEY_EXPOSED of one host; ``now`` is the controller's clock."""
    for certificate in member.certificates:
        evidence = {
            "purpose": certificate.purpose,
            "path": certificate.path,
            "owner": certificate.subject,
            "issuer": certificate.issuer,
            "not_before": moment(certificate.not_before),
            "not_after": moment(certificate.not_after),
            "detail": certificate.detail,
        }
        what = f"The {certificate.purpose} certificate {certificate.path} of {member.name}"
        problem = certificate.problem or _by_date(certificate, now)
        if problem:
            code = _PROBLEMS.get(problem, "CERTIFICATE_UNUSABLE")
            words = {
                EXPIRED: f"expired on {day(certificate.not_after)}",
                NOT_YET: f"is valid only from {day(certificate.not_before)} on",
                UNTRUSTED: f"is signed by {certificate.issuer or 'somebody'}, whom the host's own file of authorities does not have",
            }.get(problem, f"cannot be used: {certificate.detail}")
            yield blocker(code, member.name, f"{what} {words.rstrip('.')}.", remedy_of(code, ""), **evidence)
        elif certificate.not_after is not None and certificate.not_after - now < warn_days * _DAY:
            message = f"{what} expires on {day(certificate.not_after)}, within {warn_days} days."
            yield warning("CERTIFICATE_EXPIRES", member.name, message, remedy_of("CERTIFICATE_EXPIRES", ""), **evidence)
        if certificate.key_exposed:
            message = f"The key of {what[:1].lower()}{what[1:]} may be read by others than its owner."
            yield warning("KEY_EXPOSED", member.name, message, remedy_of("KEY_EXPOSED", ""), **evidence)


def _by_date(certificate: Certificate, now: float) -> str:
    """A host whose clock is wrong may take an expired certificate for a good one."""
    if certificate.not_after is not None and certificate.not_after < now:
        return EXPIRED
    if certificate.not_before is not None and certificate.not_before > now + CLOCK_TOLERANCE:
        return NOT_YET
    return ""


def check_authorities(members: t.Sequence[Member]) -> t.Iterator[Finding]:
    """CERTIFICATE_UNTRUSTED: hosts that know no common authority do not trust each other, however good their certificates are."""
    for purpose in sorted({one.purpose for member in members for one in member.certificates}):
        known = [(member.name, one) for member in members for one in (member.certificate(purpose),) if one]
        known = [(name, one) for name, one in known if one.authorities]
        common = collections.Counter(print_ for _name, one in known for print_ in one.authorities)
        if not common:
            continue
        usual, count = max(common.items(), key=lambda item: (item[1], item[0]))
        odd = [(name, one) for name, one in known if usual not in one.authorities]
        for name, one in odd:
            yield blocker(
                "CERTIFICATE_UNTRUSTED",
                name,
                f"{name} trusts another authority for its {purpose} certificate than {count} other hosts do, so they do not trust "
                "each other.",
                remedy_of("CERTIFICATE_UNTRUSTED", ""),
                purpose=purpose,
                path=one.path,
                authorities=list(one.authorities),
                usual=usual,
            )


def check_tls(members: t.Sequence[Member], wanted: bool) -> t.Iterator[Finding]:
    """TLS_UNAVAILABLE: where it is wanted, or where some hosts can encrypt and others cannot."""
    without = [member.name for member in members if not member.host.tls]
    if not without or (not wanted and len(without) == len(members)):
        return
    message = f"{named(without)} {'have' if len(without) > 1 else 'has'} no certificates to encrypt the streams of moves with."
    build = blocker if wanted else warning
    yield build("TLS_UNAVAILABLE", ", ".join(without), message, remedy_of("TLS_UNAVAILABLE", ""), hosts=without)


def check_qemu_user(members: t.Sequence[Member]) -> t.Iterator[Finding]:
    """QEMU_USER_DIFFERS: on shared storage the numbers own the images. A blocker where hosts do share storage."""
    owners: dict[tuple[int, int], list[str]] = {}
    for member in members:
        uid, gid = member.host.qemu_uid, member.host.qemu_gid
        if uid is not None and gid is not None:
            owners.setdefault((uid, gid), []).append(member.name)
    if len(owners) < 2:
        return
    usual = max(owners.items(), key=lambda item: (len(item[1]), item[0]))[0]
    stores: dict[str, set[str]] = {}
    for member in members:
        for pool in member.host.pools:
            if pool.active and pool.shared and pool.filesystem:
                stores.setdefault(pool.filesystem, set()).add(member.name)
    for (uid, gid), names in sorted(owners.items()):
        if (uid, gid) == usual:
            continue
        shared = sorted(store for store, users in stores.items() if users & set(names) and users - set(names))
        what = "cannot open each other's images there" if shared else "would not be able to share images"
        message = (
            f"QEMU runs as {uid}:{gid} on {named(names)} and as {usual[0]}:{usual[1]} on {named(owners[usual])}; "
            f"{f'they share {named(shared)}, and ' if shared else 'they '}{what}."
        )
        build = blocker if shared else warning
        evidence = {
            "uid": uid,
            "gid": gid,
            "usual_uid": usual[0],
            "usual_gid": usual[1],
            "hosts": names,
            "shared": shared,
        }
        yield build("QEMU_USER_DIFFERS", ", ".join(names), message, remedy_of("QEMU_USER_DIFFERS", ""), **evidence)


def check_clock(member: Member) -> t.Iterator[Finding]:
    """CLOCK_SKEW: proven where a host's time lies outside the time that its survey took by the controller's clock."""
    time, synchronized = member.host.time, member.host.time_synchronized
    offset = 0.0
    if time and member.not_before is not None and time < member.not_before - CLOCK_TOLERANCE:
        offset = time - member.not_before
    if time and member.not_after is not None and time > member.not_after + CLOCK_TOLERANCE:
        offset = time - member.not_after
    if offset:
        side = "ahead of" if offset > 0 else "behind"
        least = _least(abs(offset))
        message = f"The clock of {member.name} is at least {least} s {side} the controller's."
        evidence = {"offset": least if offset > 0 else -least}
        yield warning("CLOCK_SKEW", member.name, message, remedy_of("CLOCK_SKEW", ""), **evidence)
    elif synchronized is False:
        message = f"Nothing keeps the clock of {member.name} synchronised."
        yield notice("CLOCK_SKEW", member.name, message, remedy_of("CLOCK_SKEW", ""))


def _least(seconds: float) -> int:
    """The first digit of it: how long a survey takes is in it too, and would make another report of every run."""
    digits = str(int(seconds))
    return int(digits[0]) * 10 ** (len(digits) - 1)


def moment(seconds: float | None) -> str | None:
    """A time in ISO 8601, in UTC."""
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(seconds: float | None) -> str:
    """A day, for people."""
    return (moment(seconds) or "an unknown day")[:10]
