"""Serves MongoDB's wire protocol over SQLite, for the contract suite: `python mongo_server.py PORT FILE`.

Needs the package `mongoeco[wire]` (Python 3.13). Prints `ready` when it listens and ends on SIGTERM. Small data only: it takes
5 to 50 ms a write. A real MongoDB does as well: set TWIN_TEST_MONGO_URL to it.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from mongoeco.engines import SQLiteEngine
from mongoeco.wire import AsyncMongoEcoProxyServer


async def serve(port: int, path: str) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    server = AsyncMongoEcoProxyServer(engine=SQLiteEngine(path), host="127.0.0.1", port=port)
    await server.start()
    print("ready", flush=True)
    await stop.wait()
    await server.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
