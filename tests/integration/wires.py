"""TCP lines that a test can cut, freeze and mend while daemons talk through them."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType

from fedsm.demo.links import LinkKind, Links

CHUNK = 64 * 1024


class Wires:
    """One relay in front of each of ``addresses`` (host:port). Use as a context manager.

    ``relays`` are the addresses to connect to instead, in the same order.
    """

    def __init__(self, addresses: list[str]) -> None:
        self._targets = [(host, int(port)) for host, port in (address.rsplit(":", 1) for address in addresses)]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._whole = True
        self._flowing = asyncio.Event()
        self.relays: list[str] = []

    def __enter__(self) -> Wires:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self) -> None:
        """End all connections; new ones are ended at once."""
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(10)

    def freeze(self) -> None:
        """Keep all connections and let nothing through: links that are half open."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def mend(self) -> None:
        """Let everything through again."""

        def mend() -> None:
            self._whole = True
            self._flowing.set()

        self._loop.call_soon_threadsafe(mend)

    async def _listen(self) -> None:
        self._flowing.set()
        self._servers = []
        for host, port in self._targets:

            async def relay(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str = host, port: int = port
            ) -> None:
                await self._relay(reader, writer, host, port)

            self._servers.append(await asyncio.start_server(relay, "127.0.0.1", 0))
        self.relays = [f"127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in self._servers]

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
    ) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        await asyncio.wait(
            [
                asyncio.create_task(self._pump(reader, far_writer)),
                asyncio.create_task(self._pump(far_reader, writer)),
            ],
            return_when=asyncio.FIRST_COMPLETED,
        )
        for end in (writer, far_writer):
            end.transport.abort()
            self._writers.discard(end)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass

    async def _cut(self) -> None:
        self._whole = False
        for writer in self._writers:
            writer.transport.abort()

    async def _end(self) -> None:
        await self._cut()
        for server in self._servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class WiredLinks(Links):
    """Each member listens at its own address and reaches the others through ``wires``, which the test enters."""

    def __init__(self, kind: LinkKind, members: int, broker: str | None = None) -> None:
        super().__init__(kind, members, broker)
        self.wires = Wires(self.addresses)

    def arguments(self, member: int) -> list[str]:
        """The usual ones, with the relays in place of the other members' addresses."""
        seen = [self.addresses[i] if i == member else relay for i, relay in enumerate(self.wires.relays)]
        usual = ",".join(self.addresses)
        return [",".join(seen) if argument == usual else argument for argument in super().arguments(member)]
