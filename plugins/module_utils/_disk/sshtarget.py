# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""How another host is reached by ssh, from what users write: a libvirt URI or a name for ssh. Pure."""

from __future__ import annotations

import dataclasses
import typing as t
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import InputError

#: A link that is away for 20 s is survived; one that is away for a minute is given up.
ALIVE_INTERVAL = 10
ALIVE_COUNT = 6
CONNECT_SECONDS = 20
_TRUE = ("1", "yes", "true")


@dataclasses.dataclass(frozen=True)
class SshTarget:
    """Where to, as whom, and how strictly."""

    host: str
    user: str = ""
    port: int = 0
    keyfile: str = ""
    known_hosts: str = ""
    verify: bool = True

    @classmethod
    def parse(cls, text: str) -> SshTarget:
        """From ``qemu+ssh://user@host:port/system?keyfile=...&no_verify=1``, ``ssh://user@host:port`` or ``user@host``.

        Raises InputError for anything else, also for what ssh would take for an option.
        """
        if "://" in text:
            return cls._from_uri(text)
        user, at, host = text.rpartition("@")
        return _checked(cls(host, user if at else ""), text)

    @classmethod
    def _from_uri(cls, text: str) -> SshTarget:
        try:
            parts = urlsplit(text)
            port = parts.port or 0
        except ValueError as exc:
            raise _useless(text) from exc
        if parts.scheme.split("+")[-1] not in ("ssh", "libssh", "libssh2"):
            raise InputError(
                "destination",
                f"The destination '{text}' is not reached by ssh, and disks are copied over ssh; give qemu+ssh://... or a name "
                "for ssh.",
            )
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        target = cls(
            parts.hostname or "",
            unquote(parts.username or ""),
            port,
            query.get("keyfile", ""),
            query.get("known_hosts", ""),
            query.get("no_verify", "0").lower() not in _TRUE and query.get("known_hosts_verify") != "ignore",
        )
        return _checked(target, text)

    @property
    def name(self) -> str:
        """``user@host`` as ssh takes it."""
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def libvirt_uri(self) -> str:
        """The libvirt of the system there, by the same way; it never asks either."""
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        query = {
            "no_tty": "1",
            **({} if self.verify else {"no_verify": "1"}),
            **({"keyfile": self.keyfile} if self.keyfile else {}),
        }
        return f"qemu+ssh://{user}{host}{port}/system?{urlencode(query)}"

    def words(self, options: t.Sequence[str] = (), command: str = "") -> list[str]:
        """The command line of ssh. It never asks, and it notices by itself that the link is gone."""
        words = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ControlMaster=no", "-o", "ControlPath=none"]
        words += ["-o", f"ServerAliveInterval={ALIVE_INTERVAL}", "-o", f"ServerAliveCountMax={ALIVE_COUNT}"]
        words += [
            "-o",
            f"ConnectTimeout={CONNECT_SECONDS}",
            "-o",
            "Ciphers=^aes128-gcm@openssh.com",
            "-o",
            "LogLevel=ERROR",
        ]
        words += ["-p", str(self.port)] if self.port else []
        words += ["-i", self.keyfile, "-o", "IdentitiesOnly=yes"] if self.keyfile else []
        words += ["-o", f'UserKnownHostsFile="{self.known_hosts}"'] if self.known_hosts else []
        if not self.verify:
            words += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        return [*words, *options, "--", self.name, *([command] if command else [])]


def _checked(target: SshTarget, text: str) -> SshTarget:
    plain = all(part and not part.startswith("-") and part.isprintable() and " " not in part for part in [target.host])
    if not plain or target.user.startswith("-") or any(char in target.user for char in ' "\n'):
        raise _useless(text)
    if any(char in target.keyfile + target.known_hosts for char in '"\n'):
        raise _useless(text)
    return target


def _useless(text: str) -> InputError:
    return InputError(
        "destination",
        f"The destination {text!r} cannot be used; it looks like qemu+ssh://root@host/system or root@host.",
    )
