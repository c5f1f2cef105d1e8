"""A preprocessor of mdBook: lets links that leave docs/ lead to the repository.

In the repository they are relative; on the site there is nothing behind them. The repository is that
of the GitHub workflow, or the variable REPOSITORY_URL; without either the links stay as they are.
"""

import json
import os
import posixpath
import re
import sys

LINK = re.compile(r"\]\(((?:\.\./)+[^)\s]*)\)")


def base():
    """What the paths are put behind, or None."""
    environ = os.environ
    if environ.get("REPOSITORY_URL"):
        return environ["REPOSITORY_URL"].rstrip("/")
    if environ.get("GITHUB_REPOSITORY"):
        server = environ.get("GITHUB_SERVER_URL", "https://github.com")
        return "%s/%s/blob/HEAD" % (server, environ["GITHUB_REPOSITORY"])
    return None


def outward(content, page, url):
    """A page's text, `page` being its path below docs/."""

    def replace(link):
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link.group(1)))
        return link.group(0) if target.startswith("docs/") else "](%s/%s)" % (url, target)

    return LINK.sub(replace, content)


def rewrite(value, url):
    """The book with its links replaced, whatever the version of mdBook has put it into."""
    if isinstance(value, list):
        return [rewrite(item, url) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: rewrite(item, url) for key, item in value.items()}
    if isinstance(value.get("content"), str) and value.get("path"):
        value["content"] = outward(value["content"], value["path"], url)
    return value


def main():
    if sys.argv[1:2] == ["supports"]:
        return
    _, book = json.load(sys.stdin)
    url = base()
    json.dump(rewrite(book, url) if url else book, sys.stdout)


if __name__ == "__main__":
    main()
