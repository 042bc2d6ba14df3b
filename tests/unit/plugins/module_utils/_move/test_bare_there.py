# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the agent of a guest process's move does with libvirt and with unit files: nothing that is not this move's."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.command import Done
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._move import bare_domain, bare_host, bare_unit

UUID = "11111111-2222-3333-4444-555555555555"


class Virsh:
    """The domains of a host: name -> state; ``refuses`` fails every order with that word."""

    def __init__(self, refuses: str = "-", **domains: str) -> None:
        self.domains, self.refuses = domains, refuses
        self.orders: list[str] = []

    def __call__(self, *words: str) -> Done | None:
        verb, wanted = words[0], words[-1] if words[0] != "undefine" else words[1]
        if verb not in ("domuuid", "domstate", "domxml-to-native"):
            self.orders.append(" ".join(words[:2] if verb == "start" else words[:1]))
        if verb == self.refuses:
            return Done(1, "", "error: it does not want to\n")
        if verb in ("domuuid", "domstate") and wanted not in self.domains:
            return Done(1, "", "error: no domain\n")
        if verb == "start":
            self.domains[wanted] = "paused"
        if verb == "resume":
            self.domains[wanted] = "running"
        if verb == "destroy":
            self.domains[wanted] = "shut off"
        if verb == "undefine":
            self.domains.pop(wanted)
        return Done(0, f"{self.domains.get(wanted, '')}\n", "")


def test_a_domain_is_started_standing_still_and_runs_when_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    virsh = Virsh(**{UUID: "shut off"})
    monkeypatch.setattr(bare_domain, "_virsh", virsh)
    assert bare_domain.state(UUID) == ""
    for _twice in range(2):
        bare_domain.start(UUID)
    assert bare_domain.state(UUID) == "paused"
    for _twice in range(2):
        bare_domain.resume(UUID)
    assert bare_domain.state(UUID) == "running"
    assert bare_domain.destroy(UUID)
    assert bare_domain.forget(UUID) == ""
    assert bare_domain.destroy(UUID), "what is not there is gone"
    assert virsh.orders == ["start --paused", "resume", "destroy", "undefine"]


def test_what_libvirt_has_against_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bare_domain, "_virsh", Virsh(refuses="define"))
    with pytest.raises(KvmError, match=r"did not define the domain: .*it does not want to") as caught:
        bare_domain.define("<domain/>")
    assert caught.value.error_code == "ADOPTION_FAILED"
    monkeypatch.setattr(bare_domain, "_virsh", Virsh(refuses="domxml-to-native", web="running"))
    found = bare_domain.facts("web", UUID, "<domain/>")
    assert (found["virsh"], found["name"], found["uuid"]) == (True, True, False)
    assert "does not want" in found["reason"]
    monkeypatch.setattr(bare_domain, "_virsh", lambda *unused: None)
    assert not bare_domain.facts("web", UUID, "")["virsh"]
    with pytest.raises(KvmError, match="no virsh"):
        bare_domain.start(UUID)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("paused (starting up)", "inmigrate"), ("paused (migrating)", "paused"), ("running (unpaused)", "running"),
        ("shut off (failed)", ""), ("crashed (panicked)", ""), ("in shutdown (user)", "shutdown"),
    ],
)  # fmt: skip
def test_what_libvirt_says_of_a_domain_in_qemu_s_words(monkeypatch: pytest.MonkeyPatch, said: str, state: str) -> None:
    monkeypatch.setattr(bare_domain, "_virsh", Virsh(**{UUID: said}))
    assert bare_domain.state(UUID) == state


def test_the_machine_that_libvirt_would_make_is_shown_of_another_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {"<whole/>": Done(0, "whole", ""), "<part/>": Done(0, "part", ""), "<bad/>": Done(1, "", "error: no\n")}
    monkeypatch.setattr(bare_domain, "_with_file", lambda xml, *unused: shown[xml])
    monkeypatch.setattr(bare_domain, "_virsh", lambda *words: Done(0, "Running against daemon: 11.3.0\n", ""))
    found = bare_domain.facts("web", UUID, "<whole/>", "<part/>")
    assert (found["native"], found["reason"], found["version"]) == ("part", "", [11, 3, 0])
    assert bare_domain.facts("web", UUID, "<bad/>", "<part/>")["reason"] == "error: no"


def test_files_go_back_to_whom_they_belonged(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, given = tmp_path / "a.qcow2", []
    image.touch()
    before = bare_host.owners([str(image), str(tmp_path / "gone")])
    assert list(before) == [str(image)]
    monkeypatch.setattr(bare_host.os, "chown", lambda *words: given.append(words))
    bare_host.give_back(before)
    assert not given, "they are theirs"
    bare_host.give_back({str(image): [64055, 64055], str(tmp_path / "gone"): [0, 0]})
    assert given == [(str(image), 64055, 64055)]


def test_a_unit_is_written_where_nothing_is_and_removed_where_it_is_ours(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(bare_unit, "_systemctl", lambda *words: done.append(words[0]))
    folder = str(tmp_path)
    for _twice in range(2):
        bare_unit.write("a.service", "[Unit]\n", True, folder)
    assert bare_unit.read("a.service", folder) == "[Unit]\n"
    assert done == ["daemon-reload", "enable"] * 2
    with pytest.raises(KvmError) as caught:
        bare_unit.write("a.service", "[Service]\n", False, folder)
    assert caught.value.error_code == "NAME_CONFLICT"
    bare_unit.remove("a.service", "[Service]\n", folder)
    assert bare_unit.read("a.service", folder) == "[Unit]\n"
    bare_unit.remove("a.service", "[Unit]\n", folder)
    assert bare_unit.read("a.service", folder) == ""
