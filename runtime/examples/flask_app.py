"""Avatars in a Flask application: flask --app flask_app run, then /avatars/alice.png."""

from flask import Flask, Response

from avatar_runtime import AvatarGenerator
from avatar_runtime.output.picture import Picture

app = Flask(__name__)
generator = AvatarGenerator.load()


@app.get("/avatars/<name>.png")
def avatar(name: str) -> Response:
    """The same bytes for the same name, for ever: any cache may keep them."""
    data = Picture((name,)).render(generator, ".png")
    return Response(data, mimetype="image/png", headers={"Cache-Control": "public, max-age=31536000, immutable"})
