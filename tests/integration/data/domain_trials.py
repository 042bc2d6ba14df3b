# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host, with the module itself: defines many documents, changes each in many single ways, and says where it was wrong.

Whether a change is real, the host's own libvirt says: the document is defined without the module, and what became of it is
compared with what was there, both with the addresses of devices taken out. Prints one JSON object.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import random
import sys
import typing as t
import xml.etree.ElementTree as ET

import libvirt
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._libvirt.define import DomainGateway
from ansible_collections.virtops.kvm.plugins.module_utils._xml.compare import exact_texts
from ansible_collections.virtops.kvm.plugins.modules import domain
from domain_documents import documents, variants
from domain_mutations import mutations

FLAGS = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE


class Lasting(DomainGateway):
    """A gateway that many runs share: what is measured here is what is decided, not how fast."""

    def close(self) -> None:
        """Stays open."""


class Trials:
    """All trials of one host, and what came of them."""

    def __init__(self) -> None:
        self.gateway = Lasting()
        self.handle = libvirt.open("qemu:///system")
        self.counts: dict[str, int] = {}
        self.wrong: list[str] = []

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def expect(self, held: t.Any, what: str, evidence: t.Any = "") -> None:
        self.count("assertions")
        if not held:
            self.wrong.append(f"{what}: {evidence}"[:1500])

    def run(self, xml: str, *, check: bool, **options: t.Any) -> t.Any:
        params = {name: rule.get("default") for name, rule in domain.argument_spec().items()}
        return domain.run({**params, "xml": xml, **options}, check, lambda uri: self.gateway)

    def tried(self, xml: str, *, check: bool) -> tuple[t.Any, str]:
        """The result, or None with the error's code."""
        try:
            return self.run(xml, check=check), ""
        except KvmError as error:
            self.expect(
                "geheim12" not in error.message and "anders12" not in error.message, "secret in error", error.message
            )
            return None, error.error_code

    def saved(self, name: str) -> str:
        return str(self.handle.lookupByName(name).XMLDesc(FLAGS))

    def document(self, name: str, text: str, limit: int) -> None:
        announced, code = self.tried(text, check=True)
        done, real_code = self.tried(text, check=False)
        self.expect(code == real_code, f"{name}: check mode and the run disagree", f"{code} / {real_code}")
        if announced is None or done is None:
            self.expect(self.plain_refusal(text), f"{name}: refused, and libvirt takes it", code)
            self.count("documents refused")
            return
        self.count("documents")
        self.expect(announced.changes and announced.changes == done.changes, f"{name}: new", announced.changes)
        self.expect(announced.diff == done.diff, f"{name}: diff of new")
        before = self.saved(name)
        for check in (True, False):
            again = self.run(text, check=check)
            self.expect(not again.changes, f"{name}: second run, check={check}", again.changes)
        self.expect(self.saved(name) == before, f"{name}: the second run touched the definition")
        for label, variant in variants(text):
            self.count("variants")
            result, code = self.tried(variant, check=True)
            self.expect(
                result is not None and not result.changes, f"{name}: {label}", code or (result and result.changes)
            )
        # What libvirt itself writes is a document, too.
        result, code = self.tried(before, check=True)
        self.expect(
            result is not None and not result.changes, f"{name}: its own dump", code or (result and result.changes)
        )
        mutants = list(mutations(text))
        random.Random(name).shuffle(mutants)
        for label, mutant in mutants[:limit]:
            # libvirt writes some definitions otherwise after it has read its own document.
            self.mutation(name, text, self.saved(name), label, mutant)
        self.run(text, check=False, state="absent", nvram="keep", tpm="keep")

    def mutation(self, name: str, text: str, before: str, label: str, mutant: str) -> None:
        title = f"{name}: {label}"
        real = self.plain(before, mutant)
        before = self.saved(name)
        announced, code = self.tried(mutant, check=True)
        if real is None:
            self.expect(announced is None, f"{title}: libvirt refuses it, check mode does not")
            self.expect(self.tried(mutant, check=False)[0] is None, f"{title}: libvirt refuses it, the module does not")
            self.expect(
                self.saved(name) == before,
                f"{title}: a refused document changed something",
                delta(before, self.saved(name)),
            )
            self.count("mutations refused")
            return
        if announced is None:
            self.expect(False, f"{title}: check mode refuses what libvirt takes", code)
            return
        self.count("mutations" if real else "mutations without a meaning")
        self.expect(bool(announced.changes) == real, f"{title}: real={real}", announced.changes)
        shown = json.dumps([announced.diff, [str(change) for change in announced.changes]])
        self.expect("geheim12" not in shown and "anders12" not in shown, f"{title}: a secret is shown")
        done = self.run(mutant, check=False)
        self.expect(done.changes == announced.changes, f"{title}: announced and done differ", done.changes)
        self.expect(done.diff == announced.diff, f"{title}: announced and done diff differ")
        if done.changes:
            self.expect(self.saved(name) != before, f"{title}: nothing happened")
            for check in (True, False):
                again = self.run(mutant, check=check)
                self.expect(not again.changes, f"{title}: second run, check={check}", again.changes)
            self.foreseen(title, before, mutant, announced)
            back = self.run(text, check=False)
            # An alias such as q35 is content with any version of it.
            self.expect(back.changes or "@machine" in label, f"{title}: the way back is not seen")
        self.handle.defineXML(before)
        again = self.run(text, check=True)
        self.expect(not again.changes, f"{title}: after the way back", again.changes)

    def foreseen(self, title: str, before: str, mutant: str, announced: t.Any) -> None:
        """What the diff announced is what is there now, but for MAC addresses that libvirt made up."""
        after = self.saved(ET.fromstring(before).findtext("name") or "")
        known = (before + mutant).lower()
        for mac in {mac.get("address", "") for mac in ET.fromstring(after).findall("devices/interface/mac")}:
            if mac not in known:
                after = after.replace(mac, "(generated)")
        shown = announced.diff["after"].partition("<domain")
        now = exact_texts(before, after)[1]
        same = sorted((shown[1] + shown[2]).splitlines()) == sorted(now.splitlines())
        self.expect(same, f"{title}: the definition is not as announced", now)

    def plain(self, before: str, mutant: str) -> bool | None:
        """Whether libvirt makes something else of ``mutant`` than of what is there; None where it refuses it."""
        root, old = ET.fromstring(mutant), ET.fromstring(before)
        if root.find("uuid") is None:
            ET.SubElement(root, "uuid").text = old.findtext("uuid")
        name = old.findtext("name") or ""
        genid, old_genid = root.find("genid"), old.findtext("genid")
        if genid is not None and not genid.text:
            genid.text = old_genid
        machine, there = root.find("os/type"), old.find("os/type")
        families = {None: "pc-i440fx", "pc": "pc-i440fx", "q35": "pc-q35"}
        if machine is not None and there is not None:
            family = families.get(machine.get("machine"), "none")
            if family in there.get("machine", ""):
                machine.set("machine", there.get("machine", ""))
        try:
            self.handle.defineXML(ET.tostring(root, encoding="unicode"))
        except libvirt.libvirtError:
            return None
        after = self.saved(name)
        self.handle.defineXML(before)
        said = {mac.get("address", "").lower() for mac in root.findall("devices/interface/mac")}
        return bare(before, said) != bare(after, said)

    def plain_refusal(self, text: str) -> bool:
        try:
            self.handle.defineXML(text).undefine()
        except libvirt.libvirtError:
            return True
        return False


def delta(before: str, after: str) -> list[str]:
    """The lines that differ."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return list(lines)[3:]


def bare(xml: str, said: set[str]) -> str:
    """A document without places of devices, and without MAC addresses that nobody ``said``."""
    root = ET.fromstring(xml)
    for device in root.findall("devices/*"):
        for address in device.findall("address"):
            device.remove(address)
        if device.tag == "controller" and device.get("type") == "pci":
            for target in device.findall("target"):
                device.remove(target)
        mac = device.find("mac") if device.tag == "interface" else None
        if mac is not None and mac.get("address", "").lower() not in said:
            device.remove(mac)
    return ordered(root)


def ordered(element: ET.Element) -> str:
    """Text that does not depend on the order of devices of one class."""
    if element.tag == "devices":
        return "<devices>" + "".join(sorted(ordered(child) for child in element)) + "</devices>"
    text = (element.text or "").strip()
    attributes = "".join(f" {key}={value!r}" for key, value in sorted(element.attrib.items()))
    return f"<{element.tag}{attributes}>{text}{''.join(ordered(child) for child in element)}</{element.tag}>"


def main() -> None:
    libvirt.registerErrorHandler(lambda context, error: None, None)
    count, seed, limit = (int(word) for word in sys.argv[1:4])
    trials = Trials()
    chosen = documents(count, seed)
    if len(sys.argv) > 4:
        chosen = {name: chosen[name] for name in sys.argv[4:]}
    try:
        for name, text in chosen.items():
            trials.document(name, text, limit)
            with contextlib.suppress(libvirt.libvirtError):
                trials.handle.lookupByName(name).undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)
    finally:
        DomainGateway.close(trials.gateway)
    print(json.dumps({"counts": trials.counts, "wrong": trials.wrong}))


if __name__ == "__main__":
    main()
