# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The firewalls of this host: asked, and changed."""

from __future__ import annotations

import typing as t

from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._host import firewalld, nftables, ufw
from ansible_collections.virtops.kvm.plugins.module_utils._host.files import Files
from ansible_collections.virtops.kvm.plugins.module_utils._host.firewall import Step

_PATIENCE = 120.0
#: What nftables loads at the start of the host: on RHEL and its kin, and elsewhere.
_FILES = ("/etc/sysconfig/nftables.conf", "/etc/nftables.conf")
#: Each firewall, what tells whether it runs, and a word of the answer.
_SIGNS = {
    "firewalld": (("firewall-cmd", "--state"), ""),
    "ufw": (("ufw", "status"), "Status: active"),
    "nftables": (("systemctl", "is-active", "nftables.service"), ""),
}


class Firewalls:
    """firewalld, ufw and nftables of this host."""

    def __init__(self, files: Files | None = None) -> None:
        self._files = files or Files()

    def running(self) -> list[str]:
        """Those that run."""
        return [name for name, (words, sign) in _SIGNS.items() if _answers(words, sign)]

    def default_zone(self) -> str:
        """firewalld's zone for what nobody said another for."""
        return _asked("firewall-cmd", "--get-default-zone").strip()

    def zones(self, *words: str) -> dict[str, firewalld.Zone]:
        """firewalld's zones: in force, or ``--permanent`` ones."""
        return firewalld.parse_zones(_asked("firewall-cmd", "--list-all-zones", *words))

    def added(self) -> list[ufw.Rule]:
        """ufw's rules."""
        return ufw.parse_added(_asked("ufw", "show", "added"))

    def ruleset(self) -> list[nftables.Data]:
        """The rules of nftables in force."""
        return nftables.parse_ruleset(_asked("nft", "--json", "--handle", "list", "ruleset"))

    def rules_file(self) -> tuple[str, str]:
        """Where the rules for the next start are, and what is written there."""
        for path in _FILES:
            text = self._files.read(path)
            if text is not None:
                return path, text
        return _FILES[-1], ""

    def try_rules(self, path: str, text: str) -> None:
        """Load a new file where no other rules are, as at a start: in a network of its own. Raises FIREWALL_FILE_REFUSED."""
        done = command.run(["unshare", "--net", "nft", "--check", "--file", "-"], input=text, timeout=_PATIENCE)
        if done.status != 0:
            raise KvmError(
                "FIREWALL_FILE_REFUSED",
                f"nftables on this host would not load {path} with a rule of ours, and start without a firewall: "
                f"{done.reason.rstrip('.')}. "
                "Mostly a chain is in force that the file does not make; write it down there, and run this again. Nothing was changed.",
                path=path,
                stderr=done.stderr[-2000:],
            )

    def write(self, path: str, text: str) -> None:
        """Write the rules for the next start."""
        self._files.replace(path, text, 0o644)

    def take(self, step: Step) -> None:
        """Take a step. Raises FIREWALL_FAILED."""
        _asked(*step.words)


def _answers(words: t.Sequence[str], sign: str) -> bool:
    try:
        done = command.run(words, timeout=_PATIENCE)
    except KvmError as exc:
        if exc.error_code != "PROGRAM_MISSING":
            raise
        return False
    return done.status == 0 and sign in done.stdout


def _asked(*words: str) -> str:
    return command.check(words, "FIREWALL_FAILED", f"'{' '.join(words)}' on this host", timeout=_PATIENCE).stdout
