"""The ASGI application, to run alone or to mount in another."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from avatar_runtime.cpus import check_can_start, check_threads, cpu_limit
from avatar_runtime.generator import AvatarGenerator, embedded_model
from avatar_runtime.serve.answers import Answers
from avatar_runtime.serve.metrics import MEDIA_TYPE, Metrics
from avatar_runtime.serve.pictures import Pictures
from avatar_runtime.web_sources import embedded_module, web_sources

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'"
)
"""The Content-Security-Policy of the demo page."""


def create_app(model: str | Path | None = None, *, limit: int = 1024, threads: int | None = None) -> Pictures:
    """Make an ASGI application that draws avatars.

    It answers the page at /, /NAME.png, .webp and .jpg?size=PX&truncation=T&circle=1&background=COLOUR, the grid
    /grid.png?seed=S&count=N&columns=K with the same options, /healthz and /metrics.

    Args:
        model: A model file; by default the embedded one. It is read at the start: replacing it later changes nothing.
        limit: How many avatars may be under way before requests are turned away.
        threads: Threads that draw and encode, by default one per CPU.

    Raises:
        ModelFileError: The model cannot be read, or does not draw its golden images.
        InputError: threads is out of range.

    Examples:
        >>> app = Starlette(routes=[Mount("/avatars", create_app())])
    """
    check_threads(threads)
    workers = threads or cpu_limit()
    check_can_start(workers)
    path = Path(model) if model is not None else embedded_model()
    generator = AvatarGenerator.load(path, threads=1)
    generator.verify()
    metrics = Metrics()
    answers = Answers(generator, limit, workers, metrics.on_batch)
    metrics.watch(answers)
    return Pictures(answers, metrics, generator.spec.image_size, _site(path, metrics, answers.close))


def _site(model: Path, metrics: Metrics, on_shutdown: Callable[[], None]) -> Starlette:
    """All but the pictures."""
    web = web_sources()
    content = model.read_bytes()  # what draws the pictures, even if the file is replaced or deleted later
    embedded = embedded_module(content)

    async def nothing(request: Request) -> Response:
        return PlainTextResponse("nothing is here; an avatar is at /NAME.png, .webp or .jpg\n", 404)

    async def index(request: Request) -> Response:
        return FileResponse(web / "index.html", headers={"Content-Security-Policy": POLICY})

    async def embedded_script(request: Request) -> Response:
        return Response(embedded, media_type="text/javascript")

    async def model_file(request: Request) -> Response:
        return Response(content, media_type="application/octet-stream")

    async def service_worker(request: Request) -> Response:
        return FileResponse(web / "sw.js", media_type="text/javascript")

    async def health(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def measured(request: Request) -> Response:
        return Response(metrics.text(), media_type=MEDIA_TYPE)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        on_shutdown()

    routes: list[Mount | Route] = [
        Route("/", index),
        Route("/healthz", health),
        Route("/metrics", measured),
        Route("/sw.js", service_worker),
        Route("/models/anime-faces-64.onnx", model_file),
        Route("/src/embedded.js", embedded_script),
        *(Mount(f"/{folder}", StaticFiles(directory=web / folder)) for folder in ("demo", "src")),
        Route("/{path:path}", nothing),
    ]
    return Starlette(routes=routes, lifespan=lifespan)
