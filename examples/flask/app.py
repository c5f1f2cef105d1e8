"""A small Flask site: pages, a form, JSON, an upload, streams and a cookie."""

import hashlib
import time

from flask import Flask, Response, jsonify, make_response, request

app = Flask(__name__)

PAGE = """<!doctype html>
<link rel="stylesheet" href="/static/style.css">
<h1>Guestbook</h1>
<form method="post" action="/form">
  <input name="name"> <button>Sign</button>
</form>
"""


@app.get("/")
def home():
    return PAGE


@app.post("/form")
def form():
    return f"Thank you, {request.form['name']}!"


@app.post("/json")
def numbers():
    return jsonify(total=sum(request.get_json()["numbers"]))


@app.post("/upload")
def upload():
    """Answers with the size and the SHA-256 of the uploaded file."""
    digest = hashlib.sha256()
    size = 0
    while block := request.files["file"].stream.read(65536):
        digest.update(block)
        size += len(block)
    return f"{size} {digest.hexdigest()}"


@app.get("/stream")
def stream():
    """Each line is sent when it is made; the length is not known before."""
    return Response((f"line {number}\n" for number in range(1000)), mimetype="text/plain")


@app.get("/events")
def events():
    """Server-sent events, each some time after the one before."""

    def ticks():
        for number in range(5):
            yield f"data: tick {number}\n\n"
            time.sleep(0.2)

    return Response(ticks(), mimetype="text/event-stream")


@app.get("/who")
def who():
    """Who asks, and for what, as the application sees it."""
    return jsonify(address=request.remote_addr, url=request.url)


@app.get("/visits")
def visits():
    count = int(request.cookies.get("visits", 0)) + 1
    response = make_response(f"visit {count}")
    response.set_cookie("visits", str(count), httponly=True)
    response.set_cookie("seen", "yes")
    return response


@app.get("/headers")
def headers():
    """Sends a header of the client back."""
    response = make_response("ok")
    response.headers["X-Returned"] = request.headers["X-Sent"]
    return response


@app.get("/crash")
def crash():
    raise RuntimeError("deliberate")
