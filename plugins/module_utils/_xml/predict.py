# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""What defining a document would change, by asking libvirt what it would make of it."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._model.definition import Normalized, Prediction
from ansible_collections.virtops.kvm.plugins.module_utils._xml import carry
from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import parse
from ansible_collections.virtops.kvm.plugins.module_utils._xml.compare import differences, strict_differences
from ansible_collections.virtops.kvm.plugins.module_utils._xml.secrets import scrub, secrets


class Normalize(t.Protocol):
    """Asks libvirt what it would make of a document; with ``validate`` also what its schema has against it."""

    def __call__(self, xml: str, validate: bool = False) -> Normalized:
        """The answer."""


def predict(wanted: str, existing: str | None, normalize: Normalize | None) -> Prediction:
    """What defining ``wanted`` over ``existing`` would do. Raises KvmError DEFINITION_REFUSED where libvirt would refuse it.

    Where libvirt cannot be asked (``normalize`` is None) the documents are compared by our own knowledge of what it adds.
    """
    if normalize is None:
        return _by_rules(wanted, existing)
    if existing is None:
        made = normalize(wanted, validate=True)
        if made.xml is None:
            raise refused(wanted, made)
        return Prediction(wanted, carry.announced(made.xml, wanted), new=True, ignored=made.ignored)
    document, made = _settled(wanted, existing, normalize)
    after = carry.announced(t.cast(str, made.xml), document)
    found = _against(wanted, existing, after)
    if found:
        # What an older libvirt wrote lacks what this one adds; that is no difference, and a define would add it to both.
        renewed = normalize(existing).xml
        if renewed is not None:
            found = _against(wanted, renewed, after)
    return Prediction(document, after if found else existing, tuple(found), ignored=made.ignored)


def _against(wanted: str, existing: str, after: str) -> list[str]:
    """What differs, but for places on buses that the document does not speak of."""
    found = strict_differences(existing, after)
    if found and not strict_differences(existing, after, addresses=False) and carry.places_hold(wanted, existing):
        return []
    return found


def _settled(wanted: str, existing: str, normalize: Normalize) -> tuple[str, Normalized]:
    """``wanted`` with as much taken over from ``existing`` as libvirt lets stand, and what libvirt makes of it."""
    tried: list[str] = []
    ignored: str | None = None
    for machine, places in ((True, True), (True, False), (False, False)):
        document = carry.carry(wanted, existing, machine=machine, places=places)
        if document in tried:
            continue
        made = normalize(document, validate=not tried)
        tried.append(document)
        ignored = ignored or made.ignored
        if made.xml is None or (places and not _keeps_layout(wanted, existing, made.xml, normalize)):
            continue
        if machine:
            document, made = _same_machine(document, made, existing, normalize)
        if places:
            document, made = _adopted(document, made, existing, normalize)
        return document, dataclasses.replace(made, ignored=ignored)
    raise refused(wanted, made)


def _keeps_layout(wanted: str, existing: str, made: str, normalize: Normalize) -> bool:
    """Whether the PCI controllers are those that the document itself asks for.

    A place that is taken over may bring a controller back that the document no longer has.
    """
    if not carry.lays_out(wanted):
        return True
    free = normalize(carry.carry(wanted, existing, places=False)).xml
    return free is None or carry.layout(free) == carry.layout(made)


def _adopted(document: str, made: Normalized, existing: str, normalize: Normalize) -> tuple[str, Normalized]:
    """The devices that libvirt adds by itself stay where they are, if that is possible without another bus."""
    text = t.cast(str, made.xml)
    settled = carry.adopt(document, text, existing)
    if not strict_differences(existing, text) or settled == document:
        return document, made
    again = normalize(settled)
    if again.xml is not None and carry.layout(again.xml) == carry.layout(text):
        return settled, again
    return document, made


def _same_machine(document: str, made: Normalized, existing: str, normalize: Normalize) -> tuple[str, Normalized]:
    """A document without a machine type gets the newest of the default family; the existing one's version is to stay."""
    there, given = carry.machine_of(existing), carry.machine_of(t.cast(str, made.xml))
    if carry.machine_of(document) is None and there and there != given and carry.same_family(there, given):
        kept = carry.with_machine(document, there)
        again = normalize(kept)
        if again.xml is not None:
            return kept, again
    return document, made


def _by_rules(wanted: str, existing: str | None) -> Prediction:
    if existing is None:
        return Prediction(wanted, wanted, new=True)
    document = carry.carry(wanted, existing, places=False)
    found = differences(existing, document)
    return Prediction(document, document if found else existing, tuple(found))


def refused(wanted: str, made: Normalized) -> KvmError:
    """The error for a document that libvirt refuses."""
    name = carry.names_of(wanted)[0]
    said = scrub(" ".join((made.error or "").split()), secrets(parse(wanted)))
    return KvmError(
        "DEFINITION_REFUSED",
        f"libvirt refuses the definition of '{name}': {said}. Correct the document; nothing was changed.",
        domain=name,
        libvirt_code=made.code,
    )
