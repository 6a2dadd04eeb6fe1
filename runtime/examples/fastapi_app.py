"""Avatars in a FastAPI application: uvicorn fastapi_app:app, then /avatars/alice.png."""

from fastapi import FastAPI, Response

from avatar_runtime import AvatarGenerator
from avatar_runtime.output.picture import Picture

app = FastAPI()
generator = AvatarGenerator.load()


@app.get("/avatars/{name}.png")
def avatar(name: str) -> Response:
    """FastAPI runs a plain function in a thread; a generator may be shared by all of them."""
    data = Picture((name,)).render(generator, ".png")
    return Response(data, media_type="image/png", headers={"Cache-Control": "public, max-age=31536000, immutable"})
