"""A Flask view that answers JSON, and one that names the process that answers."""

import os

from flask import Flask, jsonify

application = Flask(__name__)


@application.get("/")
def index():
    return jsonify(message="Hello, world!", items=[1, 2, 3], ok=True)


@application.get("/pid")
def pid():
    return str(os.getpid())
