"""Avatars in a Django project: add django_view.urlpatterns to yours, then /avatars/alice.png."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from avatar_runtime import AvatarGenerator
from avatar_runtime.output.picture import Picture

generator = AvatarGenerator.load()


def avatar(request: HttpRequest, name: str) -> HttpResponse:
    """The same bytes for the same name, for ever: any cache may keep them."""
    data = Picture((name,)).render(generator, ".png")
    return HttpResponse(data, "image/png", headers={"Cache-Control": "public, max-age=31536000, immutable"})


urlpatterns = [path("avatars/<str:name>.png", avatar)]
