"""What counts as a disagreement, and which disagreements are intended.

Every rule names the difference of docs/differences.md it stands for and is as narrow as it can be:
what no rule covers is reported.
"""

import re


def differences(ours, theirs):
    """What differs between two outcomes: pairs of a kind and a sentence, none if nothing does."""
    found = []
    for number, (a, b) in enumerate(zip(ours.answers, theirs.answers), 1):
        for name in ("status", "connection", "framing"):
            left, right = getattr(a, name), getattr(b, name)
            if name == "framing" and a.seen is None and b.seen is None:
                continue  # the lengths of two error pages
            if left != right:
                found.append((name, f"answer {number}: {name} {left!r} and {right!r}"))
        if (a.seen is None) != (b.seen is None):
            asked = "rgunicorn" if a.seen is not None else "gunicorn"
            found.append((asked, f"answer {number}: only {asked} asked the application"))
        elif a.seen is not None:
            for key in sorted(a.seen.keys() | b.seen.keys()):
                left, right = a.seen.get(key), b.seen.get(key)
                if left != right:
                    found.append((key, f"answer {number}: {key} {left!r} and {right!r}"))
            if a.body != b.body:
                found.append(("data", f"answer {number}: body {a.body!r} and {b.body!r}"))
    if len(ours.answers) != len(theirs.answers):
        more = len(ours.answers) > len(theirs.answers)
        text = f"answers: {len(ours.answers)} and {len(theirs.answers)}"
        found.append(("more" if more else "less", text))
    if ours.interim != theirs.interim:
        found.append(("interim", f"100 Continue: {ours.interim} and {theirs.interim}"))
    if ours.end != theirs.end:
        found.append(("end", f"end: {ours.end} and {theirs.end}"))
    if ours.rest != theirs.rest:
        found.append(("rest", f"rest: {ours.rest!r} and {theirs.rest!r}"))
    return found


def explain(case, ours, theirs, ask):
    """The name of the intended difference that explains a disagreement, or None.

    `ask(wire)` gives the outcomes of other bytes, sent with the same settings.
    """
    kinds = {kind for kind, _ in differences(ours, theirs)}
    for rule in RULES:
        if rule(kinds, case, ours, theirs, ask):
            return rule.__name__
    return None


def refused_before_the_end_of_the_head(kinds, case, ours, theirs, ask):
    """A line is refused as soon as it arrives: here the head never ends, and gunicorn waits.

    Proof: with an end, gunicorn refuses it too.
    """
    if not kinds <= {"more", "end"} or len(ours.answers) != len(theirs.answers) + 1:
        return False
    if ours.answers[-1].seen is not None or ours.end != "closed":
        return False
    _, ended = ask(case.wire() + b"\r\n\r\n")
    return len(ended.answers) == len(ours.answers) and ended.answers[-1].seen is None


def another_of_several_errors(kinds, case, ours, theirs, ask):
    """Both refuse, for different reasons: of several errors the first is named, and a body is looked
    at before the application's place (SCRIPT_NAME) is."""
    if kinds != {"status"} or len(ours.answers) != len(theirs.answers):
        return False
    a, b = ours.answers[-1], theirs.answers[-1]
    if a.seen is not None or b.seen is not None:
        return False
    # What is too long is refused for that; what is cut by a line feed is not waited for.
    too_long = {(414, 400), (431, 400), (400, 431)}
    outside = (a.status, b.status) == (400, 500) and "SCRIPT_NAME" in b.page()
    return outside or (a.status, b.status) in too_long


def connect_has_no_path(kinds, case, ours, theirs, ask):
    """The authority form has no path: gunicorn gives what follows the colon, or all of it."""
    return kinds == {"PATH_INFO"} and all(
        a.seen is None
        or a.seen["PATH_INFO"] == b.seen["PATH_INFO"]
        or (a.seen["REQUEST_METHOD"] == "CONNECT" and a.seen["PATH_INFO"] == "")
        for a, b in zip(ours.answers, theirs.answers)
    )


def body_cut_short(kinds, case, ours, theirs, ask):
    """A request whose body the client does not finish is not answered; gunicorn hands the body over
    short, or answers without having looked at it."""
    if kinds != {"less"} or len(theirs.answers) != len(ours.answers) + 1:
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
    return len(read.answers) == number and read.answers[-1].status == a.status


def length_beyond_64_bits(kinds, case, ours, theirs, ask):
    """A length that no body can have is refused; gunicorn waits for the body."""
    numbers = re.findall(rb"\d{20,}|[0-9a-fA-F]{17,}", case.wire())
    page = ours.answers[-1].page() if ours.answers else ""
    if not numbers or ours.answers[-1].status != 400:
        return False
    return "CONTENT-LENGTH" in page or any(number.decode() in page for number in numbers)


def long_size_line(kinds, case, ours, theirs, ask):
    """The limit on the line with the size of a chunk holds however it arrives; gunicorn looks at it only
    while the end of the line is missing."""
    pages = [answer.page() for outcome in (ours, theirs) for answer in outcome.answers[-1:]]
    return any("bytes with no terminator" in page for page in pages)


RULES = [
    long_size_line,
    refused_before_the_end_of_the_head,
    another_of_several_errors,
    connect_has_no_path,
    body_cut_short,
    bad_body_that_nobody_reads,
    length_beyond_64_bits,
]
