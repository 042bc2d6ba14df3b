#!/bin/sh
# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# br0 with the host's address and eth0 as its port; /etc/lab-host says which address. May run again after that changed.
set -eu
[ -e /etc/lab-host ] || exit 0
. /etc/lab-host
ip link show br0 >/dev/null 2>&1 || ip link add name br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
ip -batch - <<END
link set lo up
link set eth0 address $NIC
link set br0 address $BRIDGE
link set eth0 master br0
link set eth0 up
link set br0 up
address flush dev br0
address replace $ADDRESS/24 dev br0
END
