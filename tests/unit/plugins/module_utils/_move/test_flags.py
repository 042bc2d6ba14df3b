# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options become flags, or are refused before anything moves."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError, KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._move.flags import Call, Options, build_call

FLAGS = {
    "LIVE": 1, "PEER2PEER": 2, "PERSIST_DEST": 8, "UNDEFINE_SOURCE": 16, "PAUSED": 32, "NON_SHARED_DISK": 64,
    "COMPRESSED": 2048, "ABORT_ON_ERROR": 4096, "AUTO_CONVERGE": 8192, "POSTCOPY": 32768, "TLS": 65536, "PARALLEL": 131072,
}  # fmt: skip
ALWAYS = 1 + 2 + 4096


def constant(name: str) -> int | None:
    return FLAGS.get(name.replace("VIR_MIGRATE_", "")) or (1 if "ZSTD" in name else None)


def call(options: Options | None = None, **more: t.Any) -> Call:
    facts = {"persistent": True, "paused": False, "copied": ["vda"], "address": "192.0.2.2", "live_xml": "<l/>"}
    return build_call(options or Options(), constant, **{**facts, "persistent_xml": "<p/>", **more})


def test_a_block_move_of_a_persistent_domain() -> None:
    made = call()
    assert made.flags == ALWAYS + 8 + 16 + 64
    assert made.params == {
        "migrate_uri": "tcp://192.0.2.2",
        "destination_xml": "<l/>",
        "persistent_xml": "<p/>",
        "migrate_disks": ["vda"],
    }


def test_no_disks_means_no_list_because_an_empty_one_means_all() -> None:
    made = call(copied=[])
    assert "migrate_disks" not in made.params
    assert not made.flags & 64


def test_a_transient_domain_stays_transient() -> None:
    made = call(persistent=False)
    assert not made.flags & (8 + 16)
    assert "persistent_xml" not in made.params


@pytest.mark.parametrize(
    ("options", "flag", "params"),
    [
        (Options(auto_converge=True), 8192, {}),
        (Options(bandwidth=50), 0, {"bandwidth": 50}),
        (Options(postcopy=True), 32768, {}),
        (Options(parallel_connections=4), 131072, {"parallel.connections": 4}),
        (Options(compression="xbzrle"), 2048, {"compression": "xbzrle"}),
        (Options(compression="zstd", parallel_connections=2), 2048 + 131072, {"compression": "zstd"}),
        (Options(tls=True), 65536, {}),
        (Options(migration_port=49300), 0, {"migrate_uri": "tcp://192.0.2.2:49300"}),
    ],
)
def test_options(options: Options, flag: int, params: dict[str, t.Any]) -> None:
    made = call(options)
    assert made.flags & flag == flag
    assert params.items() <= made.params.items()


def test_paused_guest_takes_no_postcopy() -> None:
    made = call(Options(postcopy=True), paused=True)
    assert made.flags & 32
    assert not made.flags & 32768


def test_what_this_libvirt_lacks_is_refused() -> None:
    with pytest.raises(KvmError) as caught:
        call(Options(compression="zlib", parallel_connections=2))
    assert caught.value.error_code == "OPTION_UNSUPPORTED"


def test_ipv6_is_bracketed() -> None:
    assert call(address="2001:db8::2").params["migrate_uri"] == "tcp://[2001:db8::2]"
    asked = Options(migration_port=49300)
    assert call(asked, address="2001:db8::2").params["migrate_uri"] == "tcp://[2001:db8::2]:49300"


@pytest.mark.parametrize(
    "wrong",
    [
        {"bandwidth": -1},
        {"max_downtime": 0},
        {"timeout": -5},
        {"downtime_steps": 0},
        {"parallel_connections": 999},
        {"timeout_action": "postcopy"},
        {"compression": "zstd"},
        {"source_slots": -1},
        {"migration_port": 70000},
    ],
)
def test_options_that_cannot_be_meant(wrong: dict[str, t.Any]) -> None:
    with pytest.raises(InputError):
        Options(**wrong)
