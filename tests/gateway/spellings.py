"""Spellings of the internal paths: all that are known to be parsed differently."""

from collections.abc import Iterator

INTERNAL = ("/metrics", "/healthz", "/readyz", "/console")
_PREFIX = "/mail"

_BEFORE = (  # what stands before the path
    *("/", "//", "/.", "/./.", "/x/..", "/emails/..", "/emails/../..", "/emails/x/../..", "/docs/..", "/..", "/%2e"),
    *("/%2e%2e", "/%2E%2E", "/emails/%2e%2e", "/emails/%2e.", "/emails/.%2e", "/emails%2f..", "/emails%2F%2e%2e"),
    *("/%2f", "/%2F", "%2f", "%2F", "/%5c", "/%5C..", "/\\", "\\", "/emails/..\\..", "/emails/..%5c..", "/%252f"),
    *("/%252e%252e", "/emails/%252e%252e", "/emails/%25%32%65%25%32%65", "/emails;/..", "/emails/..;", "/;", "/;x=1"),
    *("/..;/..", "/emails/;/..", "/%3b", "/%c0%af", "/%c0%ae%c0%ae", "/emails/%c0%ae%c0%ae", "/%e0%80%af"),
    *("/%f0%80%80%af", "/%c1%9c", "/%ef%bc%8f", "/%e2%88%95", "/%u002e%u002e", "/%u2215", "/%00", "/%0a", "/%0d"),
    *("/%0d%0a", "/%09", "/%20", "/%a0", "/%c2%a0", "/%c2%85", "/%e2%80%8b", "/%ef%bb%bf", "/%7f", "/?", "/#", "/%23"),
    *("/%3f", "/emails?/..", "/emails%3f/..", "/emails#/..", "/emails%23/..", "/emails%00/..", "/emails%0a/.."),
    *("/*", "/%", "/%2", "/%zz", "/~", "/:", "/@", "/emails@", "/&", "/+", "/=", "/mail", "/mail/mail", "/MAIL"),
    *(
        "/Mail",
        "/mail/",
        "/mail//",
        "/mail/.",
        "/mail/..",
        "/mail/../mail",
        "/mail/x/..",
        "/mail/%2e%2e/mail",
        "/mail;",
    ),
    *("/mail%2f", "/mail%2Fmail", "/mail/%2f", "/mail/emails/..", "/mail/emails/%2e%2e", "/%6dail", "/mail%20"),
    *(
        "/mail%0a",
        "/mail\\",
        "/mail/mail/mail",
        "//mail",
        "//mail//",
        "/./mail",
        "/mailmail",
        "/mail/MAIL",
        "/x",
        "/api",
    ),
)
_AFTER = (
    *("/", "//", "/.", "/./", "/..", "/x/..", "/../metrics", "/%2e", "/%2e%2e", "%2f", "%2F", "%2f%2f", "%5c", "\\"),
    *("%252f", "%0a", "%0A", "%0d", "%0d%0a", "%00", "%09", "%0b", "%0c", "%1f", "%20", "%7f", "%85", "%a0", "%c2%a0"),
    *(
        "%c2%85",
        "%e2%80%a8",
        "%e2%80%8b",
        "%ef%bb%bf",
        "%ff",
        "%c0%80",
        ".",
        "..",
        "%2e",
        "...",
        ";",
        ";x",
        ";/",
        "%3b",
    ),
    *("%3bx=1", ";jsessionid=1", "%23", "%23x", "#", "#x", "%3f", "%3fx", "?", "?x=1", "?/../emails", "?deep=1", "~"),
    *("%7e", "*", "%2a", "%", "%2", "%zz", "%u000a", "+", "%2b", "&", "%26", ":", "%3a", "@", "%40", ",", "%2c", "|"),
    *("%7c", "/emails", "/../emails", "/%2e%2e/emails", "/..%2femails", "/..;/emails", "/%252e%252e/emails", ".json"),
    *(".html", "/index.html", "%0a/emails", "%00/emails", "%00.json", "$", "%24", "'", "%22", "%3c", "%3e", "`", "!"),
)
_HOSTS = ("localhost", "127.0.0.1", "postern", "postern:8025", "metrics", "localhost/metrics", "a@localhost", "", "*")
_TARGETS = (  # other forms of a request target (RFC 9112 §3.2)
    *("http://localhost{0}", "https://localhost{0}", "http://localhost:8025{0}", "http://postern{0}", "http://{0}"),
    *("http:/{0}", "http:{0}", "HTTP://LOCALHOST{0}", "http://localhost/.{0}", "http://localhost//{0}", "ftp://x{0}"),
    *("http://a:b@localhost{0}", "http://localhost{0}%0a", "http://localhost/mail{0}", "http://localhost?{0}", "{0}#"),
    *(
        "//localhost{0}",
        "//postern{0}",
        "///localhost{0}",
        "localhost{0}",
        "*{0}",
        "file://{0}",
        "?{0}",
        "http://[::1]{0}",
    ),
)


def spellings() -> list[bytes]:
    """Yield complete requests for an internal path in each spelling."""
    targets = dict.fromkeys(target for path in INTERNAL for target in _targets(path))
    requests = [_request(target) for target in targets]
    requests += [_request(path, version="1.0") for path in (*INTERNAL, *(f"{_PREFIX}{path}" for path in INTERNAL))]
    requests += [_request(path, host=host) for path in INTERNAL for host in _HOSTS]
    requests += [_request("/emails", more=more.format(path)) for path in INTERNAL for more in _OVERRIDES]
    return [*requests, *(_request(path, method=method) for path in INTERNAL for method in _METHODS)]


_METHODS = ("HEAD", "POST", "OPTIONS", "PUT", "get", "Get", "TRACE", "PROPFIND")
_OVERRIDES = (
    *(
        "X-Original-URL: {0}",
        "X-Rewrite-URL: {0}",
        "X-Forwarded-Prefix: {0}",
        "X-Forwarded-Uri: {0}",
        "X-Script-Name: {0}",
    ),
    *("X-HTTP-Method-Override: GET\r\nX-Original-URI: {0}", "X-Accel-Redirect: {0}", "Upgrade: h2c\r\nX-Path: {0}"),
)


def _targets(path: str) -> Iterator[str]:
    name = path[1:]
    yield path
    yield from (f"{before}{path}" for before in _BEFORE)
    yield from (f"{before}{name}" for before in ("/%2f", "/%5c", "/\\", "/./", "/%2e/", "/mail/", "/mail%2f"))
    yield from (f"{path}{after}" for after in _AFTER)
    yield from (f"{_PREFIX}{path}{after}" for after in _AFTER[::3])
    yield from (form.format(path) for form in _TARGETS)
    yield from (f"/{form}" for form in _cases(name))
    yield from (f"/MAIL/{form}" for form in _cases(name))
    yield from (
        f"/{name[:at]}%{ord(name[at]):{form}}{name[at + 1 :]}" for at in range(len(name)) for form in ("02x", "02X")
    )
    yield from (f"/{name[:at]}%25{ord(name[at]):02x}{name[at + 1 :]}" for at in range(len(name)))
    yield "/" + "".join(f"%{ord(letter):02x}" for letter in name)
    yield "/mail/" + "".join(f"%{ord(letter):02x}" for letter in name)


def _cases(name: str) -> Iterator[str]:
    yield from (name.upper(), name.capitalize(), name.swapcase(), name[:-1] + name[-1].upper())
    yield name.replace("s", "%c5%bf").replace("i", "%c4%b1").replace("k", "%e2%84%aa")  # they fold to ASCII letters


def _request(
    target: str, *, method: str = "GET", version: str = "1.1", host: str = "localhost", more: str = ""
) -> bytes:
    lines = [f"{method} {target} HTTP/{version}", f"Host: {host}", "Connection: close", *([more] if more else [])]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
