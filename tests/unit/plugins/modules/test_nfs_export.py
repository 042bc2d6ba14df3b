# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.holders import Session, Usage
from ansible_collections.virtops.kvm.plugins.module_utils._nfs.plan import new_file
from ansible_collections.virtops.kvm.plugins.modules import nfs_export, nfs_export_info
from ansible_collections.virtops.kvm.tests.unit.plugins.module_utils._nfs.fake_server import FakeServer

FILE = "/etc/exports.d/virtops-srv-a.exports"
USED = Usage((Session("10.0.0.11", "Linux NFSv4.2 kvm1", (((8, 1), "web.qcow2"),)),))
IDLE = Usage((Session("10.0.0.11", "Linux NFSv4.2 kvm1", ()),))


def run(server: FakeServer, check_mode: bool = False, **asked: t.Any) -> t.Any:
    params = {"path": "/srv/a", "state": "present", "options": list(nfs_export.OPTIONS), "cut_off_clients": False}
    if asked.get("state") != "absent":
        params["clients"] = [{"client": "10.0.0.0/24"}]
    return nfs_export.run({"clients": None, **params, **asked}, check_mode, t.cast("t.Any", server))


def test_a_new_export_gets_a_file_of_its_own_and_is_there_the_second_time() -> None:
    server = FakeServer()
    first = run(server)
    assert [(change.object, change.action) for change in first.changes] == [
        (FILE, "create"),
        ("/srv/a to 10.0.0.0/24", "export"),
    ]
    assert server.files[FILE].endswith(b"\n/srv/a 10.0.0.0/24(rw,sync,no_subtree_check)\n")
    assert (server.wrong, first.values["export"]["file"]) == ([], FILE)
    assert run(server).changes == ()


def test_check_mode_tells_the_same_and_writes_nothing() -> None:
    server = FakeServer()
    assert run(server, check_mode=True).changes == run(FakeServer()).changes
    assert server.files == {}


def test_an_entry_by_hand_is_adopted_where_it_stands() -> None:
    main = b"# ours\n/srv/b *(ro)\n/srv/a kvm1(rw) # the hypervisor\n/srv/c kvm2\n"
    server = FakeServer({"/etc/exports": main})
    result = run(server)
    assert server.files == {
        "/etc/exports": main.replace(b"kvm1(rw)", b"10.0.0.0/24(rw,sync,no_subtree_check)"),
    }
    assert result.values["export"]["file"] == "/etc/exports"
    assert run(server).changes == ()


@pytest.mark.parametrize(
    "line",
    [
        b"/srv/a 10.0.0.0/24(rw)",
        b"/srv/a/ -rw 10.0.0.0/24",
        b'"/srv/a" 10.0.0.0/24(sync,ro,rw,wdelay)',
        b"/srv/a -sync,rw \\\n  10.0.0.0/24(no_subtree_check,root_squash)",
    ],
)
def test_other_words_for_the_same_are_no_change(line: bytes) -> None:
    server = FakeServer({"/etc/exports": line + b"\n"})
    server.links["/srv/a/"] = "/srv/a"
    server.export()
    assert run(server).changes == ()


def test_several_entries_for_a_path_become_one() -> None:
    server = FakeServer({"/etc/exports": b"/srv/a kvm1(ro)\n", FILE: b"# x\n/srv/a kvm2(ro)\n"})
    run(server, clients=[{"client": "kvm1"}, {"client": "kvm2", "options": ["ro"]}])
    assert server.files == {"/etc/exports": b"/srv/a kvm1(rw,sync,no_subtree_check) kvm2(ro)\n", FILE: b"# x\n"}
    assert server.wrong == []


def test_drift_by_hand_is_a_change_and_is_put_right() -> None:
    server = FakeServer()
    run(server)
    server.rows = []
    result = run(server)
    assert [(change.object, change.action) for change in result.changes] == [("/srv/a to 10.0.0.0/24", "export")]
    assert len(server.rows) == 1
    server.files[FILE] = server.files[FILE].replace(b"rw,", b"ro,")
    server.export()
    assert [change.action for change in run(server).changes] == ["change", "correct"]
    server.rows.append(dataclasses.replace(server.rows[0], client="*"))
    assert [(change.object, change.action) for change in run(server).changes] == [("/srv/a to *", "withdraw")]
    assert run(server).changes == ()


def test_absent_takes_the_entry_out_and_leaves_all_else() -> None:
    server = FakeServer()
    run(server)
    server.files["/etc/exports"] = b"/srv/b *(ro)\n/srv/a kvm2 # x\n"
    result = run(server, state="absent")
    assert server.files == {"/etc/exports": b"/srv/b *(ro)\n # x\n"}
    assert [change.action for change in result.changes] == ["take out", "remove", "withdraw"]
    assert run(server, state="absent").changes == ()


@pytest.mark.parametrize(
    ("usage", "refused"),
    [
        (USED, True),
        (IDLE, True),
        (Usage(IDLE.sessions, frozenset({("/srv/a", "10.0.0.0/24")})), True),
        (Usage(IDLE.sessions, frozenset({("/srv/b", "10.0.0.0/24")})), False),
        (Usage(mounted=(("10.0.0.11", "/srv/a"),)), True),
        (Usage(mounted=(("10.0.0.11", "/srv/b"),)), False),
        (Usage((Session("10.9.0.1", "other", ()),)), False),
        (Usage(), False),
    ],
)
def test_nobody_is_cut_off_without_being_told(usage: Usage, refused: bool) -> None:
    server = FakeServer()
    run(server)
    server.used = usage
    before = dict(server.files)
    if refused:
        for asked in ({"state": "absent"}, {"clients": [{"client": "10.0.0.0/24", "options": ["ro"]}]}):
            with pytest.raises(KvmError, match=r"10\.0\.0\.11 .*cut_off_clients") as caught:
                run(server, **asked)
            assert (caught.value.error_code, server.files) == ("EXPORT_IN_USE", before)
        assert run(server, state="absent", cut_off_clients=True).values["holders"]
    else:
        run(server, state="absent")
    assert server.rows == []


def test_more_rights_and_more_clients_cut_nobody_off() -> None:
    server = FakeServer()
    run(server, options=["ro"])
    server.used = USED
    run(server, clients=[{"client": "10.0.0.0/24"}, {"client": "kvm2"}])
    assert server.wrong == []


def test_exports_that_are_in_no_file_are_named_and_kept_while_in_use() -> None:
    server = FakeServer()
    server.files["/etc/exports"] = b"/srv/b 10.0.0.0/24(rw)\n"
    server.export()
    del server.files["/etc/exports"]
    assert "/srv/b is exported to 10.0.0.0/24 by stor1, but no file says so" in run(server, check_mode=True).warnings[0]
    server.used = USED
    with pytest.raises(KvmError, match="/srv/b on stor1 is in use"):
        run(server)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"path": "srv"}, "absolute"),
        ({"path": "/srv/../a"}, "absolute"),
        ({"path": "/srv/a/"}, "slash"),
        ({"path": "/srv/a\\040"}, "another path"),
        ({"clients": []}, "Nobody is named"),
        ({"clients": [{"client": ""}]}, "empty"),
        ({"clients": [{"client": "nosuchhost"}]}, "knows no address"),
        ({"clients": [{"client": "10.0.0.256"}]}, "looks like an address"),
        ({"clients": [{"client": "10.0.0.*"}]}, "network"),
        ({"clients": [{"client": "10.0.0.0/33"}]}, "no network"),
        ({"clients": [{"client": "2001:db8::/ffff::"}]}, "length of its prefix"),
        ({"clients": [{"client": "[2001:db8::1]"}]}, "without brackets"),
        ({"clients": [{"client": "-rw"}]}, "must not contain"),
        ({"clients": [{"client": "a b"}]}, "must not contain"),
        ({"clients": [{"client": "kvm1(rw)"}]}, "must not contain"),
        ({"clients": [{"client": "@"}]}, "netgroup"),
        ({"clients": [{"client": "gss/krb4"}]}, "gss"),
        ({"clients": [{"client": "kvm1"}, {"client": "KVM1.example.org"}]}, "named twice"),
        ({"options": ["rw,sync"]}, "not one option"),
        ({"options": ["rq"]}, "no option"),
        ({"options": ["anonuid=nobody"]}, "number"),
        ({"options": ["squash_uids=1"]}, "no meaning"),
        ({"clients": [{"client": "kvm1", "options": ["mp=/" + "x" * 600]}]}, "longer"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(asked: dict[str, t.Any], why: str) -> None:
    server = FakeServer()
    with pytest.raises(KvmError, match=why) as caught:
        run(server, **asked)
    assert (caught.value.error_code, server.files) == ("INVALID_OPTION", {})


def test_a_folder_that_is_missing_is_an_error_and_in_check_mode_a_warning() -> None:
    server = FakeServer()
    with pytest.raises(KvmError, match="does not exist") as caught:
        run(server, path="/srv/z")
    assert caught.value.error_code == "EXPORT_PATH_MISSING"
    assert "does not exist" in run(server, path="/srv/z", check_mode=True).warnings[0]


def test_a_damaged_file_of_somebody_else_stops_it() -> None:
    server = FakeServer()
    server.files["/etc/exports"] = b"/srv/b *(ro\n"
    with pytest.raises(KvmError, match="line 1") as caught:
        run(server)
    assert (caught.value.error_code, list(server.files)) == ("EXPORTS_DAMAGED", ["/etc/exports"])


@pytest.mark.parametrize(
    ("client", "options", "words"),
    [
        ("*", ["rw", "no_root_squash"], ["no_root_squash to everybody", "all_squash"]),
        ("0.0.0.0/0", ["rw", "no_root_squash"], ["no_root_squash to everybody"]),
        ("10.0.0.0/24", ["rw", "async"], ["with async"]),
        ("10.0.0.0/24", ["rw", "no_root_squash"], []),
        ("*", ["rw"], []),
        ("*", ["no_root_squash", "all_squash"], []),
    ],
)
def test_what_is_dangerous_is_a_warning(client: str, options: list[str], words: list[str]) -> None:
    warnings = " ".join(run(FakeServer(), clients=[{"client": client}], options=options).warnings)
    assert bool(warnings) == bool(words)
    assert all(word in warnings for word in words)


def test_paths_do_not_share_a_file() -> None:
    paths = ["/", "/srv/a", "/srv/A", "/srv/a b", "/srv/a-b", "/srv-a", "/srv/a_b", "/ü", "/ö", "/root"]
    assert len({new_file(path) for path in paths}) == len(paths)


def test_the_survey_puts_files_and_table_side_by_side() -> None:
    server = FakeServer({"/etc/exports": b"# x\n/srv/a -rw kvm1(async) kvm2\n/srv/a kvm2(ro)\n"})
    server.files["/etc/exports"] += b"/srv/b *(ro)\n"
    server.rows.append(dataclasses.replace(server.rows[0], path="/srv/c", client="*"))
    server.used = USED
    found = nfs_export_info.run({"paths": []}, False, t.cast("t.Any", server)).values
    assert [
        (one["path"], one["client"], one["line"], one["in_force"] is not None, one["agrees"])
        for one in found["exports"]
    ] == [
        ("/srv/a", "kvm1", 2, True, True),
        ("/srv/a", "kvm2", 2, True, True),
        ("/srv/a", "kvm2", 3, False, False),
        ("/srv/b", "*", 4, False, False),
        ("/srv/c", "*", None, True, False),
    ]
    assert found["exports"][0]["options"] == ["rw", "async"]
    assert [holder.address for holder in found["exports"][0]["holders"]] == ["10.0.0.11"]
    assert found["exports"][1]["holders"] == []
    assert found["sessions"] == [{"address": "10.0.0.11", "name": "Linux NFSv4.2 kvm1", "open_files": 1}]
    only = nfs_export_info.run({"paths": ["/srv/b"]}, True, t.cast("t.Any", server)).values
    assert [one["path"] for one in only["exports"]] == ["/srv/b"]


def test_what_this_exportfs_does_not_know_is_not_written() -> None:
    server = FakeServer()
    server.complaint = 'unknown keyword "sign_fh"'
    with pytest.raises(KvmError, match="unknown keyword") as caught:
        run(server, options=["rw", "sign_fh"], check_mode=True)
    assert (caught.value.error_code, server.files) == ("EXPORT_REJECTED", {})
