# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""lxml, imported here and nowhere else, and only where it is installed."""

from __future__ import annotations

import traceback
import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError

try:
    from lxml import etree
except ImportError:
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

Element = t.Any


def parse(text: str, what: str = "document") -> Element:
    """The root element of the XML ``text``: comments and blank text dropped, no network, no entities.

    Raises KvmError XML_INVALID with line and column for text that is not well-formed, MISSING_LIBRARY without lxml.
    """
    if IMPORT_ERROR is not None:
        raise KvmError(
            "MISSING_LIBRARY",
            "The Python library lxml is not installed where this module runs; install python3-lxml and run again.",
            library="lxml",
        )
    parser = etree.XMLParser(
        remove_blank_text=True,
        remove_comments=True,
        remove_pis=True,
        resolve_entities=False,
        no_network=True,
        huge_tree=False,
    )
    try:
        return etree.fromstring(text.encode("utf-8"), parser)
    except etree.XMLSyntaxError as exc:
        raise KvmError(
            "XML_INVALID", f"The {what} is not well-formed XML: {exc.msg}.", position=list(exc.position)
        ) from exc


def render(element: Element) -> str:
    """``element`` as indented text."""
    return etree.tostring(element, encoding="unicode", pretty_print=True)


def new_element(tag: str, attributes: t.Mapping[str, str] | None = None, text: str | None = None) -> Element:
    """A new element; text and attribute values are escaped by the library."""
    element = etree.Element(tag, dict(attributes or {}))
    element.text = text
    return element


def local_name(element: Element) -> str:
    """The tag without its namespace."""
    return str(element.tag).rpartition("}")[2]
