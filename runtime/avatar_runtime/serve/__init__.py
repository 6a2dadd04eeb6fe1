"""Avatars over HTTP, with the extra [serve]: `app.create_app` makes an ASGI application and avatar-serve runs it."""
