"""A Django site in one module: routing, the middleware that needs no database, one plain view."""

from django.conf import settings

settings.configure(
    DEBUG=False,
    SECRET_KEY="only-for-benchmarks",
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    USE_TZ=True,
)

from django.core.wsgi import get_wsgi_application  # noqa: E402 (settings come first)
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402


def index(request):
    return HttpResponse("Hello, world!\n", content_type="text/plain")


urlpatterns = [path("", index)]
application = get_wsgi_application()
