"""Runs the application in uvicorn, in one process."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from avatar_runtime.errors import AvatarError
from avatar_runtime.serve.app import Application
from avatar_runtime.serve.protocol import Protocol

LOGGER = logging.getLogger(__name__)


def serve(
    app: Application, sockets: list[socket.socket], on_ready: Callable[[], object], supervisor: int | None
) -> None:
    """Serve until SIGTERM or SIGINT; then answer what is under way, for 30 seconds at most. SIGHUP reloads the app.

    supervisor is a handle that can be read once the process that started this one is gone; then this one stops, too.
    """
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # otherwise every malformed request writes a line
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # no answer depends on who asks
        server_header=False,
        backlog=2048,
        timeout_graceful_shutdown=30,
    )
    _Server(config, app, on_ready, supervisor).run(sockets=sockets)


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, app: Application, on_ready: Callable[[], object], supervisor: int | None
    ) -> None:
        super().__init__(config)
        self._application = app
        self._on_ready = on_ready
        self._supervisor = supervisor
        self._reloading: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError, AttributeError, RuntimeError):  # Windows has no SIGHUP
            loop.add_signal_handler(signal.SIGHUP, self._reload)
        if self._supervisor is not None:
            loop.add_reader(self._supervisor, self._orphaned)
        self._on_ready()

    def _reload(self) -> None:
        task = asyncio.get_running_loop().create_task(self._reloaded())
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)

    async def _reloaded(self) -> None:
        try:
            await self._application.reload()
        except AvatarError as err:
            LOGGER.error("the models were not read again: %s", err)
        else:
            LOGGER.warning("the models were read again")

    def _orphaned(self) -> None:
        asyncio.get_running_loop().remove_reader(self._supervisor or 0)
        self.should_exit = True
