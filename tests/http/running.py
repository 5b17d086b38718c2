"""The application behind a real socket, in a thread with a loop of its own, so that clients that block can be tried on it.

It can go away and come back at the same port, as a service does that is restarted; what lies behind its ports stays as it is.
"""

import asyncio
import socket
import threading
from contextlib import contextmanager

import uvicorn


class RunningApp:
    """One server. Only ``running`` makes them."""

    def __init__(self, app, loop):
        self._app, self._loop = app, loop
        self._socket = _listen(0)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = None
        self._serving = None

    def do(self, coroutine):
        """Run something in the server's loop, where the fakes live; returns its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def start(self):
        """Answer from now on."""
        config = uvicorn.Config(self._app, lifespan="off", log_level="critical", timeout_graceful_shutdown=0)
        self._server = uvicorn.Server(config)
        self._serving = asyncio.run_coroutine_threadsafe(self._server.serve([self._socket]), self._loop)

    def stop(self):
        """Break all connections off, and refuse new ones."""
        self._server.should_exit = True
        self._serving.result(10)
        self._socket.close()

    def restart(self):
        """Come back at the same port."""
        self._socket = _listen(self.port)
        self.start()


@contextmanager
def running(app):
    """Serve an application until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = RunningApp(app, loop)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        server.do(_cancel_the_rest())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_the_rest():
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for each in others:
        each.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _listen(port):
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen()  # from here on connections wait, so nobody has to wait until the server has begun
    return listening
