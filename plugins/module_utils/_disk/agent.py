# SPDX-FileCopyrightText: 2026 The virtops.kvm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""The receiving end of copies. It lives as long as the connection to it, and leaves nothing behind but partial images.

Shipped to the destination as text, and run there by ``python3 -c``: the standard library only. It speaks JSON lines: a request
``{"id", "verb", "args"}`` has one answer ``{"id", "value"}`` or ``{"id", "error"}``.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import typing as t
import uuid

from ansible_collections.virtops.kvm.plugins.module_utils._core import command
from ansible_collections.virtops.kvm.plugins.module_utils._core.clock import Clock
from ansible_collections.virtops.kvm.plugins.module_utils._core.errors import KvmError
from ansible_collections.virtops.kvm.plugins.module_utils._core.serving import Request, Value, answer, hello, serve
from ansible_collections.virtops.kvm.plugins.module_utils._disk import agentfiles, fine, keyed, qemunbd, wire
from ansible_collections.virtops.kvm.plugins.module_utils._disk.agentimage import Image, Target
from ansible_collections.virtops.kvm.plugins.module_utils._disk.digest import (
    BLOCK,
    Hash,
    Reader,
    block_numbers,
    iter_digests,
    sha256,
    threads_for,
)
from ansible_collections.virtops.kvm.plugins.module_utils._disk.wire import checked_path

_VIRSH_SECONDS = 30.0
#: Those that may take long.
_SLOW_VERBS = ("digests", "answers", "sync", "tail", "blank_tail")


class Agent:
    """All that the receiving end holds."""

    def __init__(self, say: t.Callable[[Request], None]) -> None:
        self._say = say
        self._folder = qemunbd.RunFolder()
        self._images: dict[int, Image] = {}
        self._readers: dict[int, tuple[contextlib.ExitStack, Reader]] = {}
        self._hashed: Hash = sha256
        self._place = ("", "")
        self._count = 0
        self._pool = concurrent.futures.ThreadPoolExecutor(max(4, threads_for()))
        self._verbs: dict[str, t.Callable[..., Value]] = {
            **agentfiles.VERBS,
            "hello": self._hello,
            "tick": lambda: None,
            "give_up_at_end": self._give_up_at_end,
            "open": self._open,
            "serve": lambda image, **args: self._images[image].serve(**args),
            "connected": lambda image: self._images[image].connected(),
            "complaint": lambda image: self._images[image].complaint(),
            "stop_serving": lambda image: self._images[image].stop_serving(),
            "finish": self._finish,
            "abandon": lambda image: self._images.pop(image).abandon(),
            "leave": lambda image: self._images.pop(image).close(),
            "read": self._read,
            "end_read": self._end_read,
            "digests": self._digests,
            "answers": self._answers,
            "sync": lambda image: self._images[image].sync(),
            "blank_tail": lambda image: self._images[image].blank_tail(),
        }

    def handle(self, request: Request) -> None:
        """Answer one request: at once, or from another thread where it may take long.

        What starts programs stays in this thread, for they end with the thread that started them.
        """
        if request.get("verb") in _SLOW_VERBS:
            self._pool.submit(self._answer, request)
        else:
            self._answer(request)

    def _answer(self, request: Request) -> None:
        self._say(answer(self._verbs, request))

    def close(self) -> None:
        """End everything that was started; partial images stay."""
        for image in list(self._images.values()):
            image.close()
        for stack, _unused_reader in list(self._readers.values()):
            stack.close()
        self._folder.close()
        uri, secret = self._place
        if secret:
            # A host without virsh keeps it until another move wants it.
            with contextlib.suppress(KvmError):
                command.run(["virsh", "-c", uri, "secret-undefine", secret], timeout=_VIRSH_SECONDS)

    def _give_up_at_end(self, uri: str, secret: str) -> None:
        """The place of a move that nobody drives any more once we end. Without ``secret``: none, the move gives it back itself."""
        self._place = (uri, str(uuid.UUID(secret)) if secret else "")

    def _hello(self, key: str = "") -> Value:
        """Who we are; from now on digests are made with ``key``, where that can be."""
        own = keyed.keyed(bytes.fromhex(key)) if key else None
        self._hashed = own or sha256
        return {**hello(), "threads": threads_for(), "keyed": own is not None}

    def _open(self, **args: t.Any) -> Value:
        target = Target(**dict(args, path=checked_path(args["path"])))
        self._count += 1
        self._images[self._count] = image = Image(target, self._folder, Clock())
        return {"image": self._count, **image.facts}

    def _finish(self, image: int, **args: t.Any) -> Value:
        found = self._images[image].finish(**args)
        del self._images[image]
        return found

    def _read(self, path: str, image_format: str, size: int | None = None) -> Value:
        """Open an image for reading; its content where the format is not raw."""
        stack = contextlib.ExitStack()
        try:
            reader = stack.enter_context(
                qemunbd.opened(checked_path(path), image_format, size=size, connections=2 * threads_for())
            )
        except BaseException:
            stack.close()
            raise
        self._count += 1
        self._readers[self._count] = (stack, reader)
        return {"reader": self._count, "size": reader.size}

    def _end_read(self, reader: int) -> None:
        self._readers.pop(reader)[0].close()

    def _digests(self, reader: int, ranges: t.Sequence[t.Sequence[int]], block: int = BLOCK) -> Value:
        """The digests of the blocks in ``ranges``, [first, count] each."""
        content = self._readers[reader][1]

        def numbers() -> t.Iterator[int]:
            for first, count in ranges:
                yield from block_numbers(content.extents(first * block, (first + count) * block), block)

        return wire.pack_digests(dict(iter_digests(content, numbers(), block, hashed=self._hashed)))

    def _answers(self, reader: int, salt: str, asked: dict[str, str], block: int = BLOCK) -> Value:
        """For blocks that differ: where they do."""
        content, salted = self._readers[reader][1], wire.decode(salt)
        found = {}
        for number, hints in asked.items():
            offset = int(number) * block
            data = bytearray(min(block, content.size - offset))
            with memoryview(data) as view:
                content.read_into(view, offset)
            found[number] = wire.encode(fine.answer(data, salted, block, wire.decode(hints)))
        return found


def main() -> None:
    """Serve until the connection closes, falls silent, or a signal comes."""
    serve(Agent)
