"""The ASGI application: to serve alone, or to mount in one's own."""

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
from avatar_runtime.web_sources import web_sources

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'"
)
"""The Content-Security-Policy of the demo page."""


def create_app(
    model: str | Path | None = None, *, ort: Path | None = None, limit: int = 1024, threads: int | None = None
) -> Pictures:
    """An ASGI application that draws avatars with a model file, by default the embedded one.

    ort is the folder of onnxruntime-web's files, which the demo page at / runs on; limit is how many avatars may be
    under way before requests are turned away; threads are those that draw and encode, by default one for each CPU.
    It answers /NAME.png, .webp and .jpg?size=PX&truncation=T&circle=1&background=COLOUR, the grid
    /grid.png?seed=S&count=N&columns=K with the same, /healthz and /metrics. To mount it:
    `Mount("/avatars", create_app())`. Raises ModelFileError, also if the model does not draw its golden images,
    or InputError.
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
    return Pictures(answers, metrics, generator.spec.image_size, _site(path, ort, metrics, answers.close))


def _site(model: Path, ort: Path | None, metrics: Metrics, on_shutdown: Callable[[], None]) -> Starlette:
    """All but the pictures."""
    web = web_sources()
    page = _page(web)

    async def nothing(request: Request) -> Response:
        return PlainTextResponse("nothing is here; an avatar is at /NAME.png, .webp or .jpg\n", 404)

    async def index(request: Request) -> Response:
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": POLICY})

    async def model_file(request: Request) -> Response:
        return FileResponse(model, media_type="application/octet-stream")

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
        Route("/model.onnx", model_file),
        *([Mount("/ort", StaticFiles(directory=ort))] if ort else []),
        *(Mount(f"/{folder}", StaticFiles(directory=web / folder)) for folder in ("demo", "src")),
        Route("/{path:path}", nothing),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def _page(web: Path) -> str:
    """The demo page as it is at /, one folder above its own."""
    page = (web / "demo" / "index.html").read_text("utf-8")
    for old, new in (
        ('href="demo.css"', 'href="demo/demo.css"'),
        ('src="main.js"', 'src="demo/main.js" data-model="model.onnx"'),
        ('data-ort="../node_modules/onnxruntime-web/dist/', 'data-ort="ort/'),
    ):
        page = page.replace(old, new)
    return page
