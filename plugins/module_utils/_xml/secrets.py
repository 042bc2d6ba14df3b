# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""Secrets in a domain's definition: where they are, and texts without them."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._xml.binding import Element, local_name

MASK = "********"
#: Stands where the other of two documents has another secret: a change that is seen, and a secret that is not.
OTHER = "******** (another)"
#: Attributes and elements of libvirt's own that hold a secret, wherever they are.
_ATTRIBUTES = ("passwd", "password")
_ELEMENTS = ("cookie", "dhCert", "session", "passwd", "password")
#: Names that people give to secrets in what libvirt only passes on: metadata, environment, arguments of QEMU.
_TELLING = re.compile(r"pass(wd|word|phrase)?$|secret$|token$|api[-_]?key$|private[-_]?key$", re.IGNORECASE)
_IN_ARGUMENT = re.compile(r"(?:^|,)(?:password|passwd|data|key)=((?:[^,]|,,)+)")


def secrets(root: Element) -> set[str]:
    """Every secret in the document."""
    return {value for value, unused in _places(root)}


def hide(root: Element, shown: t.Callable[[str], str] = lambda secret: MASK) -> None:
    """Replace every secret in the document by what ``shown`` gives for it."""
    for secret, replace in list(_places(root)):
        replace(shown(secret))


def scrub(text: str, found: t.Iterable[str]) -> str:
    """``text``, a message of others, without the secrets ``found``."""
    for secret in sorted(found, key=len, reverse=True):
        # One of a letter or two would make every message unreadable, and tells nobody anything.
        if len(secret) > 2:
            text = text.replace(secret, MASK)
    return text


def _places(root: Element) -> t.Iterator[tuple[str, t.Callable[[str], None]]]:
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        foreign = element.tag.startswith("{") or any(parent.tag == "metadata" for parent in element.iterancestors())
        for name, value in list(element.attrib.items()):
            if value and (name in _ATTRIBUTES or (foreign and _TELLING.search(name))):
                yield value, _attribute_setter(element, name)
        text = (element.text or "").strip()
        tag = local_name(element)
        if text and not len(element) and (tag in _ELEMENTS or (foreign and _TELLING.search(tag))):
            yield text, _text_setter(element)
        value = element.get("value", "")
        if foreign and tag == "env" and value and _TELLING.search(element.get("name", "")):
            yield value, _attribute_setter(element, "value")
        if foreign and tag == "arg":
            for secret in _IN_ARGUMENT.findall(value):
                yield secret, _argument_setter(element, secret)


def _attribute_setter(element: Element, name: str) -> t.Callable[[str], None]:
    return lambda shown: element.set(name, shown)


def _text_setter(element: Element) -> t.Callable[[str], None]:
    def set_text(shown: str) -> None:
        element.text = shown

    return set_text


def _argument_setter(element: Element, secret: str) -> t.Callable[[str], None]:
    return lambda shown: element.set("value", element.get("value").replace(secret, shown))
