"""Pages, a form, JSON, an upload, a stream and a session."""

import hashlib
import json

from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.template import engines
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

PAGE = engines["django"].from_string("""<!doctype html>
<link rel="stylesheet" href="/static/style.css">
<h1>Guestbook</h1>
<form method="post" action="/form">
  {% csrf_token %}<input name="name"> <button>Sign</button>
</form>
""")


@require_safe
def home(request):
    return HttpResponse(PAGE.render({}, request))


@require_POST
def form(request):
    return HttpResponse(f"Thank you, {request.POST['name']}!")


@csrf_exempt
@require_POST
def numbers(request):
    return JsonResponse({"total": sum(json.loads(request.body)["numbers"])})


@csrf_exempt
@require_POST
def upload(request):
    """Answers with the size and the SHA-256 of the uploaded file."""
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for block in file.chunks():
        digest.update(block)
    return HttpResponse(f"{file.size} {digest.hexdigest()}")


def stream(request):
    """Each line is sent when it is made; the length is not known before."""
    lines = (f"line {number}\n" for number in range(1000))
    return StreamingHttpResponse(lines, content_type="text/plain")


def visits(request):
    count = request.session["visits"] = request.session.get("visits", 0) + 1
    response = HttpResponse(f"visit {count}")
    response.set_cookie("seen", "yes")
    return response


def headers(request):
    """Sends a header of the client back."""
    return HttpResponse("ok", headers={"X-Returned": request.headers["X-Sent"]})


def crash(request):
    raise RuntimeError("deliberate")
