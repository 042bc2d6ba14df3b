# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which mount a path lies on, and whether other hosts see it."""

from __future__ import annotations

import pytest
from ansible_collections.virtops.kvm.plugins.module_utils._core.mounts import (
    Location,
    locate,
    mount_of,
    parse_mounts,
    server_of,
)

MOUNTINFO = r"""22 28 0:20 / /proc rw,nosuid shared:12 - proc proc rw
28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 28 254:2 / /srv rw shared:2 - xfs /dev/mapper/vg-srv rw
31 30 0:50 / /srv/nfs rw shared:3 - nfs4 filer:/export/vms rw,vers=4.2,proto=tcp,addr=192.0.2.5
32 30 0:51 / /srv/nfs\040three rw shared:4 - nfs [2001:db8::5]:/export/old rw,vers=3,addr=2001:db8::5
33 30 0:52 / /srv/ceph rw shared:5 - ceph 192.0.2.7:6789:/ rw,name=admin
34 30 0:53 / /srv/gluster rw - fuse.glusterfs node1:/vol rw
35 30 0:54 / /srv/ssh rw - fuse.sshfs user@host:/ rw
36 30 0:55 / /srv/samba rw - smb3 //filer/vms rw
37 30 254:3 / /srv/plain rw - nfs4 plain:/x rw
38 30 254:4 / /srv/over rw - ext4 /dev/old rw
39 38 0:56 / /srv/over rw - nfs4 filer:/newer rw,addr=192.0.2.5
40 30 0:57 / /srv/virtiofs rw - virtiofs tag rw
malformed line
41 30 0:58 / /srv/büro rw - gfs2 /dev/san/büro rw
"""
MOUNTS = parse_mounts(MOUNTINFO)


def test_lines_that_make_no_sense_are_passed_over() -> None:
    assert len(MOUNTS) == 14


@pytest.mark.parametrize(
    ("path", "point"),
    [
        ("/", "/"),
        ("/etc/x", "/"),
        ("/srv", "/srv"),
        ("/srvx/y", "/"),
        ("/srv/nfs/a/b.qcow2", "/srv/nfs"),
        ("/srv/nfs three/a", "/srv/nfs three"),
        ("/srv/büro/a", "/srv/büro"),
    ],
)
def test_mount_of(path: str, point: str) -> None:
    mount = mount_of(path, MOUNTS)
    assert mount is not None
    assert mount.point == point


@pytest.mark.parametrize(
    ("path", "shared", "filesystem"),
    [
        ("/var/lib/x", False, "local:ext4:/dev/vda1:254:1@kvm1"),
        ("/srv/a", False, "local:xfs:/dev/mapper/vg-srv:254:2@kvm1"),
        ("/srv/nfs/a", True, "nfs:192.0.2.5:/export/vms"),
        ("/srv/nfs three/a", True, "nfs:[2001:db8::5]:/export/old"),
        ("/srv/plain/a", True, "nfs:plain:/x"),
        ("/srv/over/a", True, "nfs:192.0.2.5:/newer"),
        ("/srv/ceph/a", True, "ceph:192.0.2.7:6789:/"),
        ("/srv/gluster/a", True, "fuse.glusterfs:node1:/vol"),
        ("/srv/samba/a", True, "cifs://filer/vms"),
        ("/srv/büro/a", True, "gfs2:/dev/san/büro"),
        ("/srv/ssh/a", None, "local:fuse.sshfs:user@host:/:0:54@kvm1"),
        ("/srv/virtiofs/a", None, "local:virtiofs:tag:0:57@kvm1"),
        ("/srv/declared/a", True, "shared:/srv/declared"),
        ("/srv/declared", True, "shared:/srv/declared"),
        ("/srv/declared-not/a", False, "local:xfs:/dev/mapper/vg-srv:254:2@kvm1"),
        ("/srv/nfs/declared/a", True, "nfs:192.0.2.5:/export/vms"),
    ],
)
def test_locate(path: str, shared: bool | None, filesystem: str) -> None:
    declared = ["/srv/declared/", "/srv/nfs/declared"]
    assert locate(path, MOUNTS, declared, "kvm1") == Location(shared, filesystem)


def test_without_mounts_nothing_is_known() -> None:
    assert locate("/a", (), (), "kvm1") == Location(None, None)


@pytest.mark.parametrize(
    ("line", "server"),
    [
        ("nfs4 filer:/x rw,vers=4.2,proto=tcp,addr=192.0.2.5", ("192.0.2.5", 2049)),
        ("nfs4 filer:/x rw,port=0,addr=192.0.2.5", ("192.0.2.5", 2049)),
        ("nfs [2001:db8::5]:/x rw,port=20490,proto=tcp6,addr=2001:db8::5", ("2001:db8::5", 20490)),
        ("nfs4 filer:/x rw,proto=rdma,addr=192.0.2.5", None),
        ("nfs4 filer:/x rw", None),
        ("ext4 /dev/sda1 rw,addr=192.0.2.5", None),
    ],
)
def test_the_server_of_a_mount_is_known_where_it_can_be_asked(line: str, server: tuple[str, int] | None) -> None:
    (mount,) = parse_mounts(f"31 30 0:50 / /srv/nfs rw - {line}\n")
    assert server_of(mount) == server
