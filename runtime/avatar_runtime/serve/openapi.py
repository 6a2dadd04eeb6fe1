"""The description of the interface for programs: OpenAPI 3.1 at /openapi.json."""

from typing import Any

from avatar_runtime import __version__
from avatar_runtime.serve.negotiation import FORMATS
from avatar_runtime.serve.requests import (
    DEFAULT_COUNT,
    HEX_COLOUR,
    MAX_COUNT,
    MAX_GRID_SIZE,
    MAX_NAME,
    MAX_SIZE,
    MIN_SIZE,
    SWITCH,
)


def description(ids: list[str]) -> dict[str, Any]:
    """The description of a service that has the models with these ids."""
    model = {"name": "model", "in": "path", "required": True, "schema": {"enum": ids}}
    name = _text("name", "Whose face it is. An extension such as .png chooses the format.")
    seed = _text("seed", "Avatar i of the series has the name SEED/i.")
    grid = [
        _option("count", _whole(1, MAX_COUNT, DEFAULT_COUNT), "Avatars in the grid."),
        _option("columns", _whole(1, MAX_COUNT), "Columns of the grid; by default it is square."),
    ]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "avatar-edge",
            "version": __version__,
            "description": "Anime avatars by name. An address with a model's id never shows another picture.",
        },
        "servers": [{"url": "."}],
        "paths": {
            "/v1/models": _get("The models that are served.", {"200": _content("application/json", _MODELS)}),
            "/v1/{model}/{name}": _get("The avatar of a name.", _PICTURE, model, name, *_options(MAX_SIZE)),
            "/v1/grids/{model}/{seed}": _get(
                "A grid of a series of avatars.", _PICTURE, model, seed, *_options(MAX_GRID_SIZE), *grid
            ),
            "/healthz": _get("Whether it runs.", {"200": _PLAIN}),
            "/readyz": _get("Whether it takes requests.", {"200": _PLAIN, "503": _PLAIN}),
            "/metrics": _get("Counters for Prometheus.", {"200": _content("text/plain", {"type": "string"})}),
            "/openapi.json": _get("This description.", {"200": _content("application/json", {"type": "object"})}),
        },
    }


def _options(most: int) -> list[dict[str, Any]]:
    from PIL import ImageColor

    formats = [extension[1:] for extension in FORMATS]
    colour = {"oneOf": [{"type": "string", "pattern": f"^{HEX_COLOUR}$"}, {"enum": sorted(ImageColor.colormap)}]}
    return [
        _option("size", _whole(MIN_SIZE, most), "Pixels a side of an avatar; by default the model's."),
        _option("truncation", {"type": "number", "minimum": 0, "maximum": 2, "default": 1}, "Below 1: plainer faces."),
        _option("circle", {"type": "string", "enum": list(SWITCH), "default": "0"}, "Cut to a circle."),
        _option("background", colour, "The colour behind the circle; it asks for a circle unless circle is 0."),
        _option("fmt", {"enum": formats}, "The format; by default the extension or the Accept header chooses it."),
    ]


def _whole(least: int, most: int, default: int | None = None) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return schema if default is None else {**schema, "default": default}


def _text(name: str, words: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
    return {"name": name, "in": "path", "required": True, "description": words, "schema": schema}


def _option(name: str, schema: dict[str, Any], words: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": words, "schema": schema}


def _content(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "The answer.", "content": {media_type: {"schema": schema}}}


def _get(summary: str, responses: dict[str, Any], *parameters: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": summary, "responses": responses}
    if parameters:
        operation["parameters"] = list(parameters)
    return {"get": operation, "head": operation}


_PLAIN = {"description": "One sentence.", "content": {"text/plain": {"schema": {"type": "string"}}}}
_MODELS = {
    "type": "object",
    "required": ["models"],
    "properties": {
        "models": {
            "type": "array",
            "items": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
        }
    },
}
_PICTURE = {
    "200": {
        "description": "The picture.",
        "headers": {"ETag": {"schema": {"type": "string"}}, "Cache-Control": {"schema": {"type": "string"}}},
        "content": {media_type: {} for media_type in sorted(set(FORMATS.values()))},
    },
    "304": {"description": "The client has it already."},
    "400": {**_PLAIN, "description": "An option that is unknown, malformed or out of range."},
    "404": {**_PLAIN, "description": "No such model."},
    "412": {**_PLAIN, "description": "The picture is not one of those that If-Match names."},
    "503": {**_PLAIN, "description": "Too many avatars are being drawn: try again."},
}
