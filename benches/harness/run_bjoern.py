"""Starts bjoern, which is a library: run_bjoern.py PORT MODULE."""

import importlib
import sys

import bjoern

bjoern.run(importlib.import_module(sys.argv[2]).application, "127.0.0.1", int(sys.argv[1]))
