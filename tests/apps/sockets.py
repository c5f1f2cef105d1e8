"""A websocket that echoes, with flask-sock, next to an ordinary page."""

from flask import Flask
from flask_sock import Sock

app = Flask(__name__)
sock = Sock(app)


@app.route("/")
def page():
    return "page"


@sock.route("/echo")
def echo(ws):
    while True:
        ws.send(ws.receive())


@sock.route("/farewell")
def farewell(ws):
    """The server is the one that closes."""
    ws.send("bye, " + ws.receive())
