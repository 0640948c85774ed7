"""Values that are secrets by their own form, whatever they are called: keys, tokens, credentials.

Every pattern is linear in the line: it begins where a run of its characters begins (so it is not
tried again inside of that run), its repetitions are possessive, and what is bounded is short.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterable

from wktriage.bundle.redaction import spoken

HIDDEN = b"REDACTED"

# (what a token begins with, in lower case; its pattern)
_FORMS: tuple[tuple[bytes, bytes], ...] = (
    (b"gh", rb"gh[pousr]_[A-Za-z0-9]{30,255}+"),
    (b"github_pat_", rb"github_pat_[A-Za-z0-9_]{22,255}+"),
    (b"gl", rb"gl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|imt)-[A-Za-z0-9_.-]{16,255}+"),
    (b"xox", rb"xox[abeoprs]-[A-Za-z0-9-]{10,255}+"),
    (b"xapp-", rb"xapp-[A-Za-z0-9-]{10,255}+"),
    (b"hooks.slack.com", rb"hooks\.slack\.com/services/[A-Za-z0-9/_-]{20,120}+"),
    (b"a", rb"(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA|ANPA|ANVA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    (b"aiza", rb"AIza[A-Za-z0-9_-]{35}+"),
    (b"ya29.", rb"ya29\.[A-Za-z0-9_-]{20,2048}+"),
    (b"gocspx-", rb"GOCSPX-[A-Za-z0-9_-]{20,64}+"),
    (b"_", rb"(?:sk|rk|pk|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,255}+"),
    (b"sk-", rb"sk-(?=[A-Za-z_-]{0,64}[0-9])[A-Za-z0-9_-]{20,255}+"),
    (b"npm_", rb"npm_[A-Za-z0-9]{30,64}+"),
    (b"pypi-", rb"pypi-[A-Za-z0-9_-]{40,512}+"),
    (b"do", rb"do[opr]_v1_[a-f0-9]{40,64}+"),
    (b"hf_", rb"hf_[A-Za-z0-9]{30,64}+"),
    (b"hv", rb"hv[sbr]\.[A-Za-z0-9_-]{20,512}+"),
    (b"dckr_pat_", rb"dckr_pat_[A-Za-z0-9_-]{20,64}+"),
    (b"sg.", rb"SG\.[A-Za-z0-9_-]{16,64}+\.[A-Za-z0-9_-]{16,64}+"),
    (b":aa", rb"[0-9]{8,10}:AA[A-Za-z0-9_-]{30,40}+"),
    (b"shp", rb"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}+"),
    (b"ltai", rb"LTAI[A-Za-z0-9]{12,24}+"),
    (b"akid", rb"AKID[A-Za-z0-9]{28,36}+"),
    (b"atatt3", rb"ATATT3[A-Za-z0-9_=-]{50,255}+"),
    (b"atbb", rb"ATBB[A-Za-z0-9]{24,64}+"),
    (b"dapi", rb"dapi[a-f0-9]{32}+"),
    (b"lin_api_", rb"lin_api_[A-Za-z0-9]{30,64}+"),
    (b"age-secret-key-", rb"AGE-SECRET-KEY-1[A-Z0-9]{50,64}+"),
    (b"glsa_", rb"glsa_[A-Za-z0-9]{30,64}+_[a-f0-9]{8}"),
)  # fmt: skip
_START = rb"(?<![A-Za-z0-9_.-])"
_FORM_PATTERNS = tuple((lead, re.compile(_START + form)) for lead, form in _FORMS)

_DOTTED = re.compile(rb"(?<![A-Za-z0-9_.-])[A-Za-z0-9_-]++(?:\.[A-Za-z0-9_-]*+){2,}+")
_BEARER = re.compile(rb"(?<![A-Za-z0-9])bearer[ \t]++(?P<value>[A-Za-z0-9._~+/=-]{6,}+)", re.I)
_BASIC = re.compile(rb"(?<![A-Za-z0-9])basic[ \t]++(?P<value>[A-Za-z0-9+/=_-]{6,}+)", re.I)
_SCHEME = re.compile(rb"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*+:(?:\\?/){2}")
_URL_REST = re.compile(rb"""[^\s"'<>`\\]*+""")
_DSN_NET = re.compile(rb"@[A-Za-z][A-Za-z0-9+_-]{0,30}+\(")
_DSN_REACH = 512
_CURL = re.compile(
    rb"(?<![A-Za-z0-9])(?:-u|--user|--proxy-user)(?:[ \t]++|=|[\"'],[ \t]*+)[\"']?"
    rb"(?P<value>[^\s\"':]{1,200}+:[^\s\"']++)"
)
_MARKUP = re.compile(rb"<(?P<name>[A-Za-z0-9_.:-]++)>(?P<value>[^<>]++)</")
_QUERY = re.compile(
    rb"[?&](?:sig|signature|x-amz-signature|x-amz-credential|x-goog-signature|"
    rb"x-goog-credential|ossaccesskeyid)=(?P<value>[^\s&\"'<>#]++)",
    re.I,
)
_HEX = re.compile(rb"[0-9a-fA-F]*\Z")

HINTS: tuple[bytes, ...] = (
    b"://", b":\\/", b"eyj", b"bearer", b"basic", b"curl", b"sig=", b"signature=", b"x-goog-",
    b"x-amz-", b"ossaccess", b"-----", b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_",
    b"glpat-", b"glptt-", b"gldt-", b"glrt-", b"glcbt-", b"glft-", b"glsoat-", b"glagent-",
    b"glimt-", b"glsa_", b"xox", b"xapp-", b"hooks.slack", b"akia", b"asia", b"abia", b"acca",
    b"agpa", b"aida", b"aroa", b"anpa", b"anva", b"aiza", b"ya29.", b"gocspx-", b"sk_", b"rk_",
    b"pk_", b"whsec_", b"sk-", b"npm_", b"pypi-", b"_v1_", b"hf_", b"hvs.", b"hvb.", b"hvr.",
    b"dckr_pat_", b"sg.", b":aa", b"shpat_", b"shpca_", b"shppa_", b"shpss_", b"ltai", b"akid",
    b"atatt3", b"atbb", b"dapi", b"lin_api_",
)  # fmt: skip
"""One of these, in lower case, is in every line that :func:`hide` would change.

Only a data source's name (``user:password@tcp(host)``) has none: it has ``@`` and ``(``.
"""


def hide(line: bytes, lower: bytes, counts: Counter[str]) -> bytes:
    """Return the line without the secrets that tell themselves; ``lower`` is it in lower case."""
    if b"://" in lower or b":\\/" in lower:
        line = _apply(line, _urls(line), "url-credentials", counts)
    if b"@" in line and b"(" in line:
        line = _apply(line, _dsns(line), "url-credentials", counts)
    if b"curl" in lower:
        line = _apply(line, _curls(line), "authorization", counts)
    if b"eyj" in lower:
        line = _apply(line, _jwts(line), "jwt", counts)
    if b"bearer" in lower:
        line = _apply(line, _credentials(_BEARER, line), "authorization", counts)
    if b"basic" in lower:
        line = _apply(line, _pairs_in_base64(line), "authorization", counts)
    if b"sig=" in lower or b"x-" in lower or b"ossaccess" in lower:
        line = _apply(line, _spans(_QUERY, line), "signed-url", counts)
    for lead, pattern in _FORM_PATTERNS:
        if lead in lower:
            line = _apply(line, [m.span() for m in pattern.finditer(line)], "bare-token", counts)
    return line


def markup(line: bytes) -> Iterable[tuple[bytes, int, int]]:
    """Yield (name, start, end) of the texts of XML elements."""
    for match in _MARKUP.finditer(line):
        yield match["name"], *match.span("value")


def cut(line: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
    """Return the line with ordered, disjoint spans replaced by the word that hides them."""
    pieces, done = [], 0
    for start, end in spans:
        pieces += [line[done:start], HIDDEN]
        done = end
    return b"".join([*pieces, line[done:]])


def is_base64_pair(value: bytes) -> bool:
    """Tell whether a text is ``user:password`` in base64."""
    if len(value) < 6 or len(value) > 4096:
        return False
    try:
        plain = base64.b64decode(value + b"=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    return b":" in plain and plain.isascii() and plain.decode("ascii").isprintable()


def is_long_run(text: bytes) -> bool:
    """Tell whether a text may be a line of a PEM block's body: no blank in it, and its length."""
    return len(text.strip()) == 64 and b" " not in text


def is_base64_line(line: bytes) -> bool:
    """Tell whether a line is one full line of a PEM block's body, with nothing else on it."""
    text = line.strip()
    return (
        len(text) == 64
        and re.fullmatch(rb"[A-Za-z0-9+/]{64}", text) is not None
        and _HEX.match(text) is None
        and any(65 <= c <= 90 for c in text)
        and any(97 <= c <= 122 for c in text)
        and any(48 <= c <= 57 for c in text)
    )


def _apply(line: bytes, spans: list[tuple[int, int]], rule: str, counts: Counter[str]) -> bytes:
    if not spans:
        return line
    counts[rule] += len(spans)
    return cut(line, spans)


def _spans(pattern: re.Pattern[bytes], line: bytes) -> list[tuple[int, int]]:
    return [m.span("value") for m in pattern.finditer(line) if m["value"] != HIDDEN]


def _credentials(pattern: re.Pattern[bytes], line: bytes) -> list[tuple[int, int]]:
    """Return what follows ``Bearer``, unless it is a word of a sentence."""
    return [
        (start, end)
        for start, end in _spans(pattern, line)
        if end - start >= 16 or not line[start:end].isalpha()
    ]


def _pairs_in_base64(line: bytes) -> list[tuple[int, int]]:
    return [(a, b) for a, b in _spans(_BASIC, line) if is_base64_pair(line[a:b])]


def _jwts(line: bytes) -> list[tuple[int, int]]:
    spans = []
    for match in _DOTTED.finditer(line):
        if b"eyJ" not in match[0]:
            continue
        position = match.start()
        segments = match[0].split(b".")
        starts = []
        for segment in segments:
            starts.append(position)
            position += len(segment) + 1
        index = 0
        while index + 2 < len(segments) + 1:
            at = segments[index].find(b"eyJ")
            body = segments[index + 1] if index + 1 < len(segments) else b""
            if at >= 0 and len(segments[index]) - at >= 10 and len(body) >= 8:
                last = min(index + 2, len(segments) - 1)
                spans.append((starts[index] + at, starts[last] + len(segments[last])))
                index += 3
            else:
                index += 1
    return spans


def _urls(line: bytes) -> list[tuple[int, int]]:
    """Return user and password of every URL; of one without password what is no mere name."""
    spans = []
    schemes = list(_SCHEME.finditer(line))
    untils = [m.start() for m in schemes[1:]] + [len(line)]
    for match, until in zip(schemes, untils, strict=False):
        start = match.end()
        rest = line[start : _URL_REST.match(line, start, until).end()]  # type: ignore[union-attr]
        authority = rest.partition(b"/")[0].partition(b"?")[0]
        if b"@" in authority:
            user = authority[: authority.rindex(b"@")]
        elif b"@" in rest and _odd_port(authority):
            # A password with a slash in it: what stands before the slash is no port.
            user = rest[: rest.rindex(b"@")]
        else:
            continue
        plain_name = b":" not in user and (
            user.isalpha() or (len(user) < 16 and not spoken.looks_random(user, quoted=False))
        )
        if not plain_name and user != HIDDEN:
            spans.append((start, start + len(user)))
    return spans


def _odd_port(authority: bytes) -> bool:
    host, colon, port = authority.partition(b":")
    return bool(colon) and not host.startswith(b"[") and not port.isdigit() and port != b""


def _dsns(line: bytes) -> list[tuple[int, int]]:
    """Return the passwords of ``user:password@tcp(host)``."""
    spans: list[tuple[int, int]] = []
    done = 0
    for match in _DSN_NET.finditer(line):
        floor = max(done, match.start() - _DSN_REACH)
        done = match.end()
        token = re.split(rb"[\s\"'`]", line[floor : match.start()])[-1]
        _, colon, password = token.partition(b":")
        if colon and password and password != HIDDEN and b"//" not in token:
            spans.append((match.start() - len(password), match.start()))
    return spans


def _curls(line: bytes) -> list[tuple[int, int]]:
    return [
        (start, end)
        for start, end in _spans(_CURL, line)
        if not line[start:end].replace(b":", b"").isdigit()
    ]
