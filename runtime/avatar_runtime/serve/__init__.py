"""Avatars over HTTP, with the extra [serve]: `app.create_app` makes an ASGI application, avatar-serve runs it."""
