"""What counts as a disagreement, and which disagreements are intended.

Every rule names the difference of docs/differences.md it stands for and is as narrow as it can be:
what no rule covers is reported.
"""

import ipaddress
import re
from dataclasses import dataclass, replace


@dataclass
class Difference:
    kind: str
    text: str
    # The two answers, if it is within a pair of them.
    ours: object = None
    theirs: object = None


def differences(ours, theirs):
    """What differs between two outcomes; empty if nothing does."""
    found = []
    for number, (a, b) in enumerate(zip(ours.answers, theirs.answers), 1):
        found += _between(f"answer {number}", a, b)
    if len(ours.answers) != len(theirs.answers):
        kind = "more" if len(ours.answers) > len(theirs.answers) else "less"
        found.append(_difference(kind, "answers", len(ours.answers), len(theirs.answers)))
    for name in ("interim", "end", "rest"):
        left, right = getattr(ours, name), getattr(theirs, name)
        if left != right:
            found.append(_difference(name, name, left, right))
    if ours.left_open():
        text = f"the end: rgunicorn keeps the connection after answer {ours.early}, which closes it"
        found.append(Difference("left open", text))
    return found


def _between(where, a, b):
    found = []
    for name in ("version", "status", "connection", "framing"):
        left, right = getattr(a, name), getattr(b, name)
        if name == "framing" and a.seen is None and b.seen is None:
            continue  # the lengths of two error pages
        if left != right:
            found.append(_difference(name, f"{where}: {name}", left, right, a, b))
    if (a.seen is None) != (b.seen is None):
        asked = "gunicorn" if a.seen is None else "rgunicorn"
        found.append(Difference(asked, f"{where}: only {asked} asked the application", a, b))
    elif a.seen is not None:
        for key in sorted(a.seen.keys() | b.seen.keys()):
            left, right = a.seen.get(key), b.seen.get(key)
            if left != right:
                found.append(_difference(key, f"{where}: {key}", left, right, a, b))
        if a.body != b.body:
            found.append(_difference("data", f"{where}: data", a.body, b.body, a, b))
    return found


def _difference(kind, where, left, right, ours=None, theirs=None):
    return Difference(kind, f"{where} {left!r} and {right!r}", ours, theirs)


def kinds(found):
    return {difference.kind for difference in found}


def explain(case, ours, theirs, ask):
    """The name of the intended difference that explains a disagreement, or None.

    `ask(wire)` gives the outcomes of other bytes, sent with the same settings.
    """
    if ours.left_open():
        return None  # what comes next would be taken for a request: no difference intends that
    return _explain(differences(ours, theirs), case, ours, theirs, ask)


def _explain(found, case, ours, theirs, ask):
    name = None
    for rule in SINGLE:
        rest = [difference for difference in found if not rule(difference, ours)]
        if len(rest) < len(found):
            found, name = rest, rule.__name__
    if not found:
        return name
    for rule in WHOLE:
        if rule(kinds(found), case, ours, theirs, ask):
            return rule.__name__
    return None


# Rules for one difference, whatever else differs. `outcome` is all that rgunicorn answered.


def connect_has_no_path(difference, outcome):
    """The authority form has neither path nor query: gunicorn takes it apart as if it had."""
    a, b = difference.ours, difference.theirs
    if a is None or a.seen is None or b.seen is None or a.seen["REQUEST_METHOD"] != "CONNECT":
        return False
    if a.seen["PATH_INFO"] or a.seen["QUERY_STRING"]:
        return False
    # The application obeys the query.
    consequences = {"status", "framing", "data", "body"} if b.seen["QUERY_STRING"] else set()
    return difference.kind in {"PATH_INFO", "QUERY_STRING"} | consequences


def other_versions_are_answered_in_version_1(difference, outcome):
    """An answer has a version that the server speaks; gunicorn repeats that of the request."""
    seen = difference.kind == "version" and difference.theirs.seen
    if not seen or seen["SERVER_PROTOCOL"].startswith("HTTP/1."):
        return False
    ours = "HTTP/1.0" if seen["SERVER_PROTOCOL"].startswith("HTTP/0.") else "HTTP/1.1"
    return difference.theirs.version == seen["SERVER_PROTOCOL"] and difference.ours.version == ours


def host_with_an_address_in_brackets(difference, outcome):
    """On a unix socket, SERVER_NAME and SERVER_PORT are from Host, and the colons of an IPv6 address are
    part of the name. gunicorn takes it apart at each colon, which makes "[" and "" of "[::1]"."""
    if difference.kind not in {"SERVER_NAME", "SERVER_PORT"}:
        return False
    a, b = difference.ours.seen, difference.theirs.seen
    host = a.get("HTTP_HOST", "")
    found = re.fullmatch(r"(\[[^]:]*:[^]]*\][^:]*)(?::([^:]*).*)?", host)
    if found is None:
        return False
    default = {"http": "80", "https": "443"}[a["wsgi.url_scheme"]]
    ours = {"SERVER_NAME": found[1], "SERVER_PORT": default if found[2] is None else found[2]}
    theirs = dict(zip(ours, host.split(":")))
    return a[difference.kind] == ours[difference.kind] and b[difference.kind] == theirs[difference.kind]


PROXIED = {"PROXY_PROTOCOL", "PROXY_ADDR", "PROXY_PORT", "REMOTE_ADDR", "REMOTE_PORT"}


def proxy_header_holds_for_the_connection(difference, outcome):
    """A gthread worker forgets it after the first request."""
    first = outcome.answers[0].seen if outcome.answers else None
    if difference.kind not in PROXIED or difference.ours is outcome.answers[0] or first is None:
        return False
    return difference.ours.seen.get(difference.kind) == first.get(difference.kind)


def proxy_header_without_addresses(difference, outcome):
    """Those of the connection hold; in gunicorn they are None and "None"."""
    if difference.kind not in PROXIED or difference.kind == "PROXY_PROTOCOL":
        return False
    if difference.ours.seen.get("PROXY_PROTOCOL") not in {"LOCAL", "UNSPEC"}:
        return False
    return difference.theirs.seen.get(difference.kind) in {None, "None"}


def proxy_address_in_canonical_form(difference, outcome):
    if difference.kind not in {"PROXY_ADDR", "REMOTE_ADDR"}:
        return False
    seen = (difference.ours.seen.get(difference.kind), difference.theirs.seen.get(difference.kind))
    try:
        ours, theirs = (ipaddress.ip_address(text) for text in seen)
    except ValueError:
        return False
    return ours == theirs


# Rules for all of a disagreement.


def refused_before_the_end(kinds, case, ours, theirs, ask):
    """A line is refused as soon as it arrives: here the head never ends, and gunicorn waits.

    Proof: with an end, gunicorn refuses it too.
    """
    if not kinds or not ours.answers:
        return False
    if ours.answers[-1].seen is not None or ours.end != "closed":
        return False
    if "more" not in kinds:
        # So it is with trailers, but there gunicorn answers at the end of input: they did not end.
        if not {"end"} <= kinds <= {"end", "status"} or theirs.end != "open":
            return False
        a, b = ours.answers[-1], theirs.answers[-1]
        waited = theirs.early == len(theirs.answers) - 1
        known = a.status in {400, 431} and b.page().startswith("Invalid chunk terminator")
        return waited and known
    if not kinds <= {"more", "end"} or len(ours.answers) != len(theirs.answers) + 1:
        return False
    # Behind a load balancer, gunicorn looks at 12 bytes before it takes anything for HTTP.
    _, ended = ask(case.wire() + b"\r\n\r\n" + b"x" * 12)
    return len(ended.answers) == len(ours.answers) and ended.answers[-1].seen is None


def another_of_several_errors(kinds, case, ours, theirs, ask):
    """Both refuse, for different reasons: of several errors the first is named, and a body is waited
    for and looked at before the application's place (SCRIPT_NAME) is."""
    if not {"status"} <= kinds <= {"status", "end"} or len(ours.answers) != len(theirs.answers):
        return False
    a, b = ours.answers[-1], theirs.answers[-1]
    if a.seen is not None or b.seen is not None:
        return False
    # What is too long is refused for that, an expectation where it stands, and nothing that is
    # malformed is read on to see whether it is also too long.
    known = {(414, 400), (431, 400), (400, 431), (417, 400), (417, 431)}
    outside = a.status in {400, 431} and b.status == 500 and "SCRIPT_NAME" in b.page()
    if "end" in kinds:
        # The body was not at its end: what is wrong with it is that it ended there.
        waited = ours.end == "open" and ours.early == len(ours.answers) - 1
        return outside and waited and theirs.end == "closed"
    return outside or (a.status, b.status) in known


def body_cut_short(kinds, case, ours, theirs, ask):
    """A request whose body the client does not finish is not answered; gunicorn hands the body over
    short, or answers without having looked at it."""
    if not kinds <= {"less", "end"} or len(theirs.answers) != len(ours.answers) + 1:
        return False
    last = theirs.answers[-1]
    if last.seen is None:
        return last.status == 500 and "SCRIPT_NAME" in last.page()
    if last.seen["body"] != "unread":
        return int(last.seen["body"].split()[0]) < int(last.seen.get("CONTENT_LENGTH", "0"))
    # Proof: if it reads the body, gunicorn hands it over short or does not answer.
    _, read = ask(case.wire().replace(b"unread", b"xxread"))
    if len(read.answers) == len(ours.answers):
        return True
    seen = read.answers[-1].seen
    return seen is not None and int(seen["body"].split()[0]) < int(seen.get("CONTENT_LENGTH", "0"))


def bad_body_that_nobody_reads(kinds, case, ours, theirs, ask):
    """A body is there before the application is called, so that a malformed one is refused, even if
    the application would not have read it.

    Proof: if it reads the body, gunicorn refuses it too.
    """
    number = len(ours.answers)
    if not kinds >= {"status", "gunicorn"} or len(theirs.answers) < number:
        return False
    a, b = ours.answers[-1], theirs.answers[number - 1]
    if a.seen is not None or b.seen is None or b.seen["body"] != "unread":
        return False
    _, read = ask(case.wire().replace(b"unread", b"xxread"))
    return len(read.answers) == number and read.answers[-1].seen is None


def length_beyond_64_bits(kinds, case, ours, theirs, ask):
    """A length that no body can have is refused; gunicorn waits for the body."""
    numbers = re.findall(rb"\d{20,}|[0-9a-fA-F]{17,}", case.wire())
    page = ours.answers[-1].page() if ours.answers else ""
    if not numbers or ours.answers[-1].status != 400:
        return False
    return "CONTENT-LENGTH" in page or any(number.decode() in page for number in numbers)


def long_size_line(kinds, case, ours, theirs, ask):
    """The limit on the line with the size of a chunk holds however it arrives, and all such lines have
    one too; gunicorn looks only while the end of a line is missing."""
    pages = [answer.page() for outcome in (ours, theirs) for answer in outcome.answers[-1:]]
    words = ("bytes with no terminator", "too many bytes for so little data")
    return any(word in page for word in words for page in pages)


def other_errors_in_a_proxy_header(kinds, case, ours, theirs, ask):
    """They are answered with 400 and not 500, and as soon as they are there. Both versions have bounds on
    their length, and version 1 has plain numbers, where gunicorn takes what Python's int() does."""
    page = ours.answers[0].page() if ours.answers else ""
    if len(ours.answers) != 1 or ours.answers[0].status != 400 or "Invalid PROXY" not in page:
        return False
    bounds = ("invalid port", "within 107 bytes", "are more than")
    if any(word in page for word in bounds):
        # Here gunicorn may go on to the request, whatever becomes of that.
        return True
    if not theirs.answers:
        return "Invalid PROXY header" in page
    return theirs.answers[0].status == 500 or re.search(r"\\x[89a-f]", page) is not None


def proxy_header_of_an_unknown_client(kinds, case, ours, theirs, ask):
    """`PROXY UNKNOWN` is accepted; so is version 2 with both family and protocol unspecified.

    Proof: without the header, gunicorn answers as rgunicorn does with it.
    """
    unknown = re.match(rb"PROXY UNKNOWN[^\r\n]*\r\n", case.wire())
    unspecified = re.match(rb"\r\n\r\n\0\r\nQUIT\n\x21\0..", case.wire(), re.DOTALL)
    if unknown:
        length = unknown.end()
    elif unspecified:
        length = 16 + int.from_bytes(case.wire()[14:16], "big")
    else:
        return False
    if len(theirs.answers) > 1 or any(answer.seen for answer in theirs.answers):
        return False
    wire = case.wire()[length:]
    if not wire:
        return True
    case = replace(case, pieces=[wire])
    _, plain = ask(wire)
    # The other bytes are not sent patiently: the connection has another end.
    aside = PROXIED | ({"end"} if case.patient else set())
    found = [other for other in differences(ours, plain) if other.kind not in aside]
    return not found or _explain(found, case, ours, plain, ask) is not None


def limit_on_a_head_and_what_follows_it(kinds, case, ours, theirs, ask):
    """Requests that follow do not count towards the limit on a head. In gunicorn they do, if they come
    in one piece with the end of a head that began in another.

    Proof: the same bytes in one piece are answered alike.
    """
    number = len(theirs.answers)
    if number == 0 or len(case.pieces) < 2 or number > len(ours.answers):
        return False
    if "max buffer headers" not in theirs.answers[-1].page():
        return False
    again, plain = ask(case.wire())
    return explain(replace(case, pieces=[case.wire()]), again, plain, ask) is not None or (
        not differences(again, plain)
    )


def empty_line_behind_a_proxy_header(kinds, case, ours, theirs, ask):
    """The empty line that may come before a request may also come behind a PROXY header.

    Proof: without it, gunicorn answers as rgunicorn does with it.
    """
    wire = case.wire()
    text = re.match(rb"PROXY [^\r\n]*\r\n", wire)
    binary = re.match(rb"\r\n\r\n\0\r\nQUIT\n....", wire, re.DOTALL)
    if text:
        length = text.end()
    elif binary:
        length = 16 + int.from_bytes(wire[14:16], "big")
    else:
        return False
    if wire[length : length + 2] != b"\r\n" or any(answer.seen for answer in theirs.answers):
        return False
    without = wire[:length] + wire[length + 2 :]
    _, plain = ask(without)
    # These bytes are not sent patiently: the connection has another end.
    found = [other for other in differences(ours, plain) if other.kind != "end" or not case.patient]
    case = replace(case, pieces=[without])
    return not found or _explain(found, case, ours, plain, ask) is not None


def connection_options_in_a_list(kinds, case, ours, theirs, ask):
    """The options of all Connection fields count. gunicorn compares the whole of the first field with
    "close" and "keep-alive", so that a list is neither.

    All that follows is that one of them reads on.
    """
    number = min(len(ours.answers), len(theirs.answers))
    pairs = list(zip(ours.answers, theirs.answers))
    if not {"connection"} <= kinds <= {"connection", "more", "less", "interim", "end"}:
        return False
    if any(a.connection != b.connection for a, b in pairs[:-1]):
        return False
    a, b = pairs[-1]
    value = a.seen.get("HTTP_CONNECTION", "") if a.seen and b.seen else ""
    options = {option.strip(" \t").lower() for option in value.split(",")}
    if "," not in value:
        return False
    old = a.seen["SERVER_PROTOCOL"] <= "HTTP/1.0"
    keeps = "close" not in options and ("keep-alive" in options or not old)
    wanted = ("keep-alive", "close") if keeps else ("close", "keep-alive")
    closes, goes_on = (theirs, ours) if keeps else (ours, theirs)
    if (a.connection, b.connection) != wanted or len(closes.answers) != number:
        return False
    return closes.end != "open" and closes.interim <= goes_on.interim


SINGLE = [
    connect_has_no_path,
    other_versions_are_answered_in_version_1,
    host_with_an_address_in_brackets,
    proxy_header_holds_for_the_connection,
    proxy_header_without_addresses,
    proxy_address_in_canonical_form,
]
WHOLE = [
    limit_on_a_head_and_what_follows_it,
    connection_options_in_a_list,
    other_errors_in_a_proxy_header,
    proxy_header_of_an_unknown_client,
    empty_line_behind_a_proxy_header,
    long_size_line,
    refused_before_the_end,
    another_of_several_errors,
    body_cut_short,
    bad_body_that_nobody_reads,
    length_beyond_64_bits,
]
