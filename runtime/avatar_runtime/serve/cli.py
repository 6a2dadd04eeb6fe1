"""avatar-serve: parses its options and runs the application in uvicorn."""

import gc
import logging
import os
import socket
import sys
from contextlib import suppress

import click

from avatar_runtime.command.base import SETTINGS, Command, group, version_option
from avatar_runtime.command.models import ModelType
from avatar_runtime.errors import InputError
from avatar_runtime.serve.listening import inherited, listen, notify

_where = group("Where", configurable=True)
_what = group("What it answers", configurable=True)
_work = group("How much at a time", configurable=True)
_who = group("Pages of other origins", configurable=True)


@click.command(cls=Command, extra="serve", table="serve", context_settings={**SETTINGS, "auto_envvar_prefix": "AVATAR"})
@_where("--host", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for all.")
@_where("--port", type=click.IntRange(0, 65535), default=8000, metavar="N", help="Port; 0 for any free one.")
@_where("--prefix", default="", metavar="PATH", show_default=False, help="Start of all paths, such as /avatars.")
@_where("--access-log", is_flag=True, help="Log each answer as a line of JSON on standard error.")
@_what(
    "--model",
    "models",
    type=ModelType(),
    multiple=True,
    metavar="ID|FILE",
    envvar="AVATAR_MODEL",
    help="Such as anime-faces-128@1; several times for several. The first draws where no id is asked for.",
)
@_what(
    "--compatible",
    type=click.Choice(["gravatar", "dicebear", "dicebear-svg"]),
    multiple=True,
    envvar="AVATAR_COMPATIBLE",
    help="Answer the addresses of this service, too; dicebear-svg sends PNGs to those who ask for SVGs.",
)
@_work("--workers", type=click.IntRange(1, 256), default=1, metavar="N", help="Processes that serve.")
@_work(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads of each process that draw and encode.  [default: one per CPU, shared among the processes]",
)
@_work(
    "--limit",
    type=click.IntRange(min=1),
    default=1024,
    metavar="N",
    help="Avatars that may be under way in a process, at most.",
)
@_who(
    "--allow-origin",
    "origins",
    multiple=True,
    default=["*"],
    metavar="ORIGIN",
    envvar="AVATAR_ALLOW_ORIGIN",
    help="Origin whose scripts may read the answers, as in https://example.org; several times for several.",
)
@_who(
    "--resource-policy",
    type=click.Choice(["cross-origin", "same-site", "same-origin"]),
    default="cross-origin",
    help="Which pages may show the pictures.",
)
@version_option
def main(
    host: str,
    port: int,
    models: tuple[str, ...],
    workers: int,
    threads: int | None,
    limit: int,
    prefix: str,
    origins: tuple[str, ...],
    resource_policy: str,
    compatible: tuple[str, ...],
    access_log: bool,
) -> None:
    """Serve avatars over HTTP: http://127.0.0.1:8000/alice.png is the face of alice.

    Each option can be an environment variable: --port is AVATAR_PORT. SIGHUP reads the model files again, and SIGTERM
    finishes what is under way and stops. Sockets of a systemd unit are used instead of --host and --port.

    \b
    Examples:
      avatar-serve
      avatar-serve --host 0.0.0.0 --port 80 --workers 4
      avatar-serve --model anime-faces-128@1 --model anime-faces-64@4
    """
    _raise_handle_limit()
    sockets = inherited() or listen(host, port, workers)

    def on_ready() -> None:
        click.echo(f"serving avatars on {_address(sockets[0])}; stop with Ctrl-C", err=True)
        notify("READY=1")

    supervisor = None
    if workers > 1:
        if not hasattr(os, "fork"):
            raise InputError("--workers starts processes by fork, which this system lacks: leave it out")
        from avatar_runtime.serve.workers import fork_workers

        worker = fork_workers(workers, on_ready)  # each worker goes on from here
        own = [sockets[worker.number]] if len(sockets) == workers else sockets
        for listener in set(sockets) - set(own):
            listener.close()
        sockets, on_ready, supervisor = own, worker.on_ready, worker.supervisor
    from avatar_runtime.cpus import cpu_limit
    from avatar_runtime.serve.app import create_app
    from avatar_runtime.serve.log import JsonFormatter, log_answer
    from avatar_runtime.serve.server import serve

    if access_log:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
        logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        app = create_app(
            *models,
            limit=limit,
            threads=threads or max(1, cpu_limit() // workers),
            prefix=prefix,
            origins=origins,
            resource_policy=resource_policy,
            compatible=compatible,
            on_answer=log_answer if access_log else None,
        )
        gc.freeze()  # what is imported stays
        gc.enable()
        serve(app, sockets, on_ready, supervisor)
    finally:
        for listener in sockets:
            listener.close()


def _address(listener: socket.socket) -> str:
    """How a client calls the address of a listening socket."""
    if listener.family == getattr(socket, "AF_UNIX", None):
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _raise_handle_limit() -> None:
    """Allow as many open connections as the system lets this process have."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS says that there is none, and means 10,240
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
