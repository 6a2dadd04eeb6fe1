"""The ASGI application: to serve alone, or to mount in one's own."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from avatar_runtime.errors import InputError
from avatar_runtime.generator import AvatarGenerator, embedded_model
from avatar_runtime.serve.answers import Answers, BusyError
from avatar_runtime.serve.metrics import MEDIA_TYPE, Metrics
from avatar_runtime.serve.requests import parse
from avatar_runtime.web_sources import web_sources

MEDIA_TYPES = {".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}

FOR_EVER = "public, max-age=31536000, immutable"
"""What an address shows changes only with the server's model."""

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'"
)
"""The Content-Security-Policy of the demo page."""


def create_app(
    model: str | Path | None = None, *, ort: Path | None = None, limit: int = 1024, threads: int | None = None
) -> Starlette:
    """An application that draws avatars with a model file, by default the embedded one.

    ort is the folder of onnxruntime-web's files, which the demo page at / runs on; limit is how many avatars may be
    under way before requests are turned away; threads are those that draw, by default as `AvatarGenerator.load` does.
    It answers /NAME.png, .webp and .jpg?size=PX&truncation=T&circle=1&background=COLOUR, the grid
    /grid.png?seed=S&count=N&columns=K with the same, /healthz and /metrics. To mount it:
    `Mount("/avatars", create_app())`. Raises ModelFileError, also if the model does not draw its golden images.
    """
    path = Path(model) if model is not None else embedded_model()
    generator = AvatarGenerator.load(path, threads=threads)
    generator.verify()
    metrics = Metrics()
    answers = Answers(generator, limit, metrics.on_batch)
    metrics.watch(answers)
    web = web_sources()
    sources = {folder: StaticFiles(directory=web / folder) for folder in ("demo", "src")}

    async def picture(request: Request) -> Response:
        began = time.monotonic()
        response = await answer(request)
        metrics.on_request(response.status_code, time.monotonic() - began)
        return response

    async def answer(request: Request) -> Response:
        path: str = request.path_params["path"]
        try:
            wanted = parse(path, request.scope.get("raw_path", b""), request.query_params, generator.spec.image_size)
            if wanted is None:
                folder, _, file = path.partition("/")
                if folder in sources:
                    return await sources[folder].get_response(file, request.scope)
                return PlainTextResponse("nothing is here; an avatar is at /NAME.png, .webp or .jpg\n", 404)
            found = await answers.answer(*wanted)
        except InputError as err:
            return PlainTextResponse(f"{err}\n", 400)
        except BusyError:
            return PlainTextResponse("too many avatars are asked for at once; try again\n", 503, {"Retry-After": "1"})
        headers = {"ETag": found.etag, "Cache-Control": FOR_EVER, "X-Content-Type-Options": "nosniff"}
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]
        if found.etag in known or "*" in known:
            return Response(status_code=304, headers=headers)
        return Response(found.data, media_type=MEDIA_TYPES[wanted[1]], headers=headers)

    async def index(request: Request) -> Response:
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": POLICY})

    async def model_file(request: Request) -> Response:
        return FileResponse(path, media_type="application/octet-stream")

    async def service_worker(request: Request) -> Response:
        return FileResponse(web / "sw.js", media_type="text/javascript")

    async def health(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def measured(request: Request) -> Response:
        return Response(metrics.text(), media_type=MEDIA_TYPE)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        answers.close()

    page = _page(web)
    routes: list[Mount | Route] = [
        Route("/", index),
        Route("/healthz", health),
        Route("/metrics", measured),
        Route("/sw.js", service_worker),
        Route("/model.onnx", model_file),
        *([Mount("/ort", StaticFiles(directory=ort))] if ort else []),
        Route("/{path:path}", picture),
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
