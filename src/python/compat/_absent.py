"""Names that gunicorn's modules have and these do not."""


def names(module, absent, reason):
    """The `__getattr__` of a module, which says why some names (words of a text) are not there."""
    absent = absent.split()

    def __getattr__(name):
        if name in absent:
            raise ImportError("rgunicorn has no %s.%s: %s." % (module, name, reason), name=module)
        raise AttributeError("module %r has no attribute %r" % (module, name))

    return __getattr__
