# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lvs prints, understood: volumes of somebody, and which of them are open."""

from __future__ import annotations

from ansible_collections.virtops.kvm.plugins.module_utils._libvirt import lvm

#: As LVM 2.03.31 prints it: thick, open, snapshot and its origin, thin and its pool, not active, a mirror and its parts.
PRINTED = """
  plain/-wi-a-----
  mounted/-wi-ao----
  origin/owi-a-s---
  snap/swi-a-s---
  thin1/Vwi-aotz--
  tp/twi-aotz--
  [tp_tdata]/Twi-ao----
  [tp_tmeta]/ewi-ao----
  off/-wi-------
  mirror/rwi-aor---
  [mirror_rimage_0]/iwi-aor---
"""


def test_volumes_are_told_from_their_parts() -> None:
    found = lvm.parse(PRINTED)
    assert lvm.names(found) == ("plain", "mounted", "origin", "snap", "thin1", "off", "mirror")
    assert lvm.names(found, opened=True) == ("mounted", "thin1", "mirror")
    assert lvm.parse("") == ()
