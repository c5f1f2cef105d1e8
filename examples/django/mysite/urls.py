from django.conf import settings
from django.urls import path
from django.views.static import serve

from . import views

urlpatterns = [
    path("", views.home),
    path("form", views.form),
    path("json", views.numbers),
    path("upload", views.upload),
    path("stream", views.stream),
    path("visits", views.visits),
    path("headers", views.headers),
    path("crash", views.crash),
    # A busy site lets a web server in front, or WhiteNoise, do this.
    path("static/<path:path>", serve, {"document_root": settings.STATIC_ROOT}),
]
