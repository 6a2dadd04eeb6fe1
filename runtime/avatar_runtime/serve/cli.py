"""avatar-serve: parses its options and runs the application in uvicorn."""

import os
import socket

import click

from avatar_runtime.command.terminal import SETTINGS, Command, version_option
from avatar_runtime.errors import InputError


@click.command(cls=Command, context_settings=SETTINGS)
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, metavar="N", help="0 for a free port.")
@click.option("--model", metavar="ID|FILE", help="Use this model, such as anime-faces-64@1, or this file.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads that draw and encode.  [default: one per CPU]",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=1024,
    metavar="N",
    help="Most avatars that may be under way.",
)
@version_option
def main(host: str, port: int, model: str | None, threads: int | None, limit: int) -> None:
    """Serve avatars over HTTP: http://127.0.0.1:8000/alice.png is the face of alice.

    \b
    Examples:
      avatar-serve
      avatar-serve --host 0.0.0.0 --port 80
    """
    try:
        import uvicorn

        from avatar_runtime.serve.app import create_app
        from avatar_runtime.serve.protocol import Protocol
    except ModuleNotFoundError as err:
        raise click.ClickException(f'avatar-serve needs {err.name}: pip install "avatar-edge[serve]"') from err
    app = create_app(model, limit=limit, threads=threads)
    with _listen(host, port) as listener:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=Protocol,
            ws="none",
            log_level="info",
            access_log=False,
            proxy_headers=False,  # no answer depends on who asks
            timeout_graceful_shutdown=30,
        )
        where = f"[{host}]" if ":" in host else host
        click.echo(f"serving avatars on http://{where}:{listener.getsockname()[1]}; stop with Ctrl-C", err=True)
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens, opened before uvicorn starts: it would end with status 3 and two lines of its log."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, UnicodeError) as err:
        # create_server repeats the address in strerror, and getaddrinfo has numbers of its own.
        known = isinstance(err, OSError) and not isinstance(err, socket.gaierror) and err.errno
        reason = os.strerror(known) if known else getattr(err, "strerror", None) or err
        raise InputError(f"cannot listen on {host}, port {port}: {reason}; choose another --host or --port") from err
