"""A TCP proxy that can be slow, swallow what the server answers, or hang up; on a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

CHUNK = 4096


@dataclass
class Proxy:
    """Forwards to `port`; what it does to the traffic may be changed at any time."""

    port: int
    delay_seconds: float = 0.0
    bytes_per_second: float | None = None
    swallow_answers_after: bytes | None = None  # from the first request that holds these bytes on
    hangs_up_after: bytes | None = None  # once, when a request that holds these bytes is passed on
    swallowed: int = 0
    listens_on: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    async def serve(self, ready: threading.Event) -> None:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.listens_on = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            await server.serve_forever()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            its_reader, its_writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.close()
            return
        is_cut = asyncio.Event()
        await asyncio.gather(
            self._pump(reader, its_writer, is_cut, client=writer),
            self._pump(its_reader, writer, is_cut),
            return_exceptions=True,
        )

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        is_cut: asyncio.Event,
        client: asyncio.StreamWriter | None = None,  # of a request
    ) -> None:
        try:
            while chunk := await reader.read(CHUNK):
                hangs_up = client is not None and bool(self.hangs_up_after and self.hangs_up_after in chunk)
                swallows = client is not None and bool(
                    self.swallow_answers_after and self.swallow_answers_after in chunk
                )
                if hangs_up or swallows:
                    is_cut.set()
                    self.swallowed += 1
                if client is None and is_cut.is_set():
                    continue
                await asyncio.sleep(self._pause_for(chunk))
                writer.write(chunk)
                await writer.drain()
                if client is not None and hangs_up:
                    self.hangs_up_after = None
                    client.close()
        finally:
            writer.close()

    def _pause_for(self, chunk: bytes) -> float:
        return self.delay_seconds + (len(chunk) / self.bytes_per_second if self.bytes_per_second else 0.0)

    def run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self.serve(ready))
        except asyncio.CancelledError:
            pass
        finally:
            self._loop.run_until_complete(self._close_connections())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _close_connections(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.05)  # a transport is closed in a later iteration than its writer

    def stop(self) -> None:
        def cancel_all() -> None:
            for task in asyncio.all_tasks(self._loop):
                task.cancel()

        self._loop.call_soon_threadsafe(cancel_all)


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """Run a proxy for the block."""
    proxy, ready = Proxy(port), threading.Event()
    thread = threading.Thread(target=proxy.run, args=(ready,), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join(10)
