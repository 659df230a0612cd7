"""The admin, and two pages that tests look at."""

from django.contrib import admin
from django.http import HttpRequest, JsonResponse
from django.urls import path


def whoami(request: HttpRequest) -> JsonResponse:
    """Who the server takes the visitor for."""
    return JsonResponse({"user": request.user.get_username() or None})


def echo(request: HttpRequest) -> JsonResponse:
    """The request's own headers: what a careless site shows."""
    return JsonResponse(dict(request.headers))


urlpatterns = [
    path("admin/", admin.site.urls),
    path("whoami", whoami),
    path("echo", echo),
]
