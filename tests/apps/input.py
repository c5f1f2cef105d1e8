"""Reads the request body in the way the query string asks for and shows each piece."""


def pieces(stream, how):
    name, _, argument = how.partition(":")
    if name == "read":
        while piece := stream.read(int(argument)):
            yield piece
    elif name == "all":
        yield stream.read()
        yield stream.read()
    elif name == "none":
        yield stream.read(None)
    elif name == "minus":
        yield stream.read(-1)
    elif name == "zero":
        yield stream.read(0)
        yield stream.read()
    elif name == "line":
        while piece := stream.readline():
            yield piece
    elif name == "sized":
        while piece := stream.readline(int(argument)):
            yield piece
    elif name == "lines":
        yield from stream.readlines()
    elif name == "hint":
        yield from stream.readlines(1)
    elif name == "keywords":
        yield stream.read(size=2)
        yield stream.readline(size=1)
        yield from stream.readlines(size=1)
    elif name == "iterate":
        yield from stream
    elif name == "mixed":
        yield stream.read(2)
        yield stream.readline()
        yield next(iter(stream))
        yield stream.read()
    elif name == "lengths":
        while piece := stream.read(65536):
            yield len(piece)


def app(environ, start_response):
    shown = repr(list(pieces(environ["wsgi.input"], environ["QUERY_STRING"]))).encode()
    start_response("200 OK", [("Content-Length", str(len(shown)))])
    return [shown]
