"""avatar-serve: parses its options and runs the application in uvicorn."""

from pathlib import Path

import click

from avatar_runtime.command.terminal import SETTINGS, Command, version_option


@click.command(cls=Command, context_settings=SETTINGS)
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Where to listen; 0.0.0.0 is everywhere.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, metavar="N", help="0 takes a free one.")
@click.option("--model", type=click.Path(path_type=Path), metavar="FILE", help="Another model than the embedded one.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads that draw and encode; by default one for each CPU.",
)
@click.option("--limit", type=click.IntRange(min=1), default=1024, metavar="N", help="Most avatars under way.")
@version_option
def main(host: str, port: int, model: Path | None, threads: int | None, limit: int) -> None:
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
    uvicorn.run(
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
