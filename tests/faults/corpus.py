"""Malformed and odd HTTP/1 requests, each with what RFC 9112 and RFC 9110 ask of a server, and what this one answers.

A row is a name, the bytes, the rule, and the statuses of all the answers in their order. Nothing behind the last of
them may be answered. In the bytes

- `{key}` is a valid subscription key, `{mark}` a word that nothing may repeat,
- `{smuggled}` is a whole request with a trace id of its own, which must never be served or answered; `{length}` is its
  length.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """One row.

    Attributes:
        name: what is odd about it.
        raw: the bytes, with placeholders.
        rule: the section, and what it asks for.
        answers: the statuses, in their order.
        ends: whether the client ends its sending side behind it.
    """

    name: str
    raw: bytes
    rule: str
    answers: tuple[int, ...] = (400,)
    ends: bool = False

    def bytes(self, **values: bytes) -> bytes:
        """The bytes, with the placeholders filled in."""
        raw = self.raw
        for name, value in values.items():
            raw = raw.replace(b"{%b}" % name.encode(), value)
        return raw


_BODY = b'{"prompt": "{mark}", "max_tokens": 1}'
_LENGTH = len(_BODY) - len(b"{mark}") + 32  # `mark` has 32 letters


def _get(line: bytes = b"GET /health/live HTTP/1.1", *headers: bytes, host: bytes = b"Host: a") -> bytes:
    """A request without a body; its Host first."""
    return b"\r\n".join([line, *([host] if host else []), *headers, b"", b""])


def _post(*headers: bytes, body: bytes = b"", line: bytes = b"POST /get-data HTTP/1.1") -> bytes:
    """A prompt with the key; whatever frames its body is among the headers."""
    own = (b"Content-Type: application/json", b"Ocp-Apim-Subscription-Key: {key}")
    return _get(line, *own, *headers) + body


def _chunked(body: bytes, *headers: bytes) -> bytes:
    return _post(b"Transfer-Encoding: chunked", *headers, body=body)


def _chunk(*lines: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in lines)


_CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (_LENGTH, _BODY)
_SIZED = b"Content-Length: %d" % _LENGTH
_SMUGGLED = b"{smuggled}"

_REQUEST_LINE = "RFC 9112, 3: method SP request-target SP HTTP-version; an invalid one SHOULD be 400"
_TARGET = "RFC 9112, 3.2: four forms of request-target; a recipient SHOULD NOT repair an invalid one"
_LINES = "RFC 9112, 2.2: lines end with CRLF; a bare CR MUST be taken as invalid or replaced"
_VERSION = "RFC 9110, 15.6.6: 505 for a major version that is not supported"
_NAME = "RFC 9112, 5.1: no whitespace between field name and colon; a server MUST answer it with 400"
_VALUE = "RFC 9110, 5.5: CR, LF and NUL in a field value are invalid: reject, or replace by SP"
_TOKEN = "RFC 9110, 5.1 and 5.6.2: a field name is a token"
_FOLD = "RFC 9112, 5.2: a server MUST reject obs-fold with 400, or replace it"
_HOST = "RFC 9112, 3.2: 400 for a request without Host, with more than one, or with an invalid one"
_LENGTHS = "RFC 9112, 6.3: an invalid Content-Length is an unrecoverable error: 400, and close"
_BOTH = "RFC 9112, 6.3: Transfer-Encoding beside Content-Length ought to be handled as an error"
_FINAL = "RFC 9112, 6.3: in a request, a final coding other than chunked is 400, and close"
_UNKNOWN = "RFC 9112, 6.1: a transfer coding that it does not understand SHOULD be 501"
_TWICE = "RFC 9112, 6.1: a sender MUST NOT apply chunked more than once"
_SIZE = "RFC 9112, 7.1: chunk-size is 1*HEXDIG; a recipient MUST anticipate large ones and prevent overflows"
_DATA = "RFC 9112, 7.1: chunk-data of exactly chunk-size, then CRLF"
_EXTENSION = "RFC 9112, 7.1.1: unrecognized chunk extensions MUST be ignored; their total length ought to be limited"
_TRAILER = "RFC 9110, 6.5.1: fields that frame, route or authenticate MUST NOT be in trailers"
_SHORT = "RFC 9112, 8: a request that ends early is incomplete, and MUST NOT be processed as a whole one"
_LONG = "RFC 9112, 3: 414 for a request-target longer than it wishes to parse"
_LARGE = "RFC 6585, 5: 431 for header fields that are too large"
_METHOD = "RFC 9110, 9.1: methods are case-sensitive; 501 or 405 for one that is unknown or not allowed"
_EXPECT = "RFC 9110, 10.1.1: 417 for an expectation that cannot be met"
_PIPELINE = "RFC 9112, 9.3.2: pipelined requests are answered in order; what follows an error is not to be trusted"
_NO_HTTP = "RFC 9112, 2.2: a message that does not match the grammar: 400, and close"

CORPUS: tuple[Case, ...] = (
    # --- not HTTP/1 at all
    Case("HTTP/0.9", b"GET /{mark}\r\n", _REQUEST_LINE, ends=True),
    Case("HTTP/0.9 with an empty line", b"GET /{mark}\r\n\r\n", _REQUEST_LINE),
    Case("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", _REQUEST_LINE),
    Case("TLS ClientHello", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"{mark}" * 4 + b"\x13\x01\r\n\r\n", _NO_HTTP),
    Case("TLS ClientHello, ended", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03{mark}", _NO_HTTP, ends=True),
    Case("PROXY protocol 1", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + _get(), _REQUEST_LINE),
    Case("PROXY protocol 2", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + b"\x0a" * 12 + _get(), _NO_HTTP),
    Case("an answer", b"HTTP/1.1 200 OK\r\nX: {mark}\r\n\r\n", _REQUEST_LINE),
    Case("SMTP", b"EHLO {mark}\r\n\r\n", _REQUEST_LINE),
    Case("Redis", b"*1\r\n$4\r\nPING\r\n\r\n", _REQUEST_LINE),
    Case("NULs", b"\0" * 64 + b"\r\n\r\n", _REQUEST_LINE),
    Case("random bytes", bytes(range(128, 256)) + b"\r\n\r\n", _REQUEST_LINE),
    Case("JSON", b'{"prompt": "{mark}"}\r\n\r\n', _REQUEST_LINE),
    Case("half a head", b"GET /health/live HTTP/1.1\r\nHost: a\r\nX: {mark}", _SHORT, ends=True),
    Case("half a request line", b"POST /{mark}", _SHORT, ends=True),
    Case("nothing but CRLFs", b"\r\n\r\n\r\n", "RFC 9112, 2.2: at least one empty line before the request line is ignored"),
    # --- request line
    Case("two spaces behind the method", _get(b"GET  /health/live HTTP/1.1"), _REQUEST_LINE),
    Case("two spaces before the version", _get(b"GET /health/live  HTTP/1.1"), _REQUEST_LINE),
    Case("a space before the method", _get(b" GET /health/live HTTP/1.1"), _REQUEST_LINE),
    Case("a space behind the version", _get(b"GET /health/live HTTP/1.1 "), _REQUEST_LINE),
    Case("a tab for the space", _get(b"GET\t/health/live\tHTTP/1.1"), _REQUEST_LINE),
    Case("no method", _get(b"/health/live HTTP/1.1"), _REQUEST_LINE),
    Case("no target", _get(b"GET HTTP/1.1"), _REQUEST_LINE),
    Case("an empty target", _get(b"GET  HTTP/1.1"), _REQUEST_LINE),
    Case("a raw space in the target", _get(b"GET /health/{mark} live HTTP/1.1"), _REQUEST_LINE),
    Case("a NUL in the target", _get(b"GET /health/live\0{mark} HTTP/1.1"), _TARGET),
    Case("a DEL in the target", _get(b"GET /health/live\x7f HTTP/1.1"), _TARGET),
    Case("UTF-8 in the target", _get(b"GET /h\xc3\xa9 HTTP/1.1"), _TARGET),
    Case("a bare CR in the target", _get(b"GET /health/live\r{mark} HTTP/1.1"), _LINES),
    Case("a bare LF behind the request line", b"GET /health/live HTTP/1.1\nHost: a\r\n\r\n", _LINES),
    Case("a relative target", _get(b"GET health/live HTTP/1.1"), _TARGET),
    Case("a fragment in the target", _get(b"GET /health/live#{mark} HTTP/1.1"), _TARGET),
    Case("asterisk-form with GET", _get(b"GET * HTTP/1.1"), "RFC 9112, 3.2.4: asterisk-form only with OPTIONS"),
    Case("asterisk-form with OPTIONS", _get(b"OPTIONS * HTTP/1.1"), "RFC 9110, 9.3.7: of the server, no path", (404,)),
    Case("authority-form with GET", _get(b"GET a:80 HTTP/1.1"), "RFC 9112, 3.2.3: authority-form only with CONNECT"),
    Case("CONNECT", _get(b"CONNECT a:80 HTTP/1.1") + _SMUGGLED, "RFC 9110, 9.3.6: an origin server may refuse", (404,)),
    Case("CONNECT of a path", _get(b"CONNECT /get-data HTTP/1.1") + _SMUGGLED, "RFC 9112, 3.2.3", (405,)),
    Case("absolute-form", _get(b"GET http://b/health/live HTTP/1.1"), "RFC 9112, 3.2.2: MUST be accepted", (200,)),
    Case("absolute-form without a path", _get(b"DELETE http://b HTTP/1.1"), "RFC 9110, 4.2.3: the same as /", (405,)),
    Case("absolute-form without a path, with a query", _get(b"DELETE http://b?a=1 HTTP/1.1"), "RFC 9110, 4.2.3: the same as /?a=1", (405,)),
    Case("absolute-form without a path, unknown method", _get(b"BREW http://b HTTP/1.1"), "RFC 9110, 9.1: 501, or 405 by the contract", (405,)),
    Case("absolute-form with a bad authority", _get(b"GET http://[{mark}/health/live HTTP/1.1"), _TARGET),
    Case("absolute-form of another scheme", _get(b"GET file:///etc/passwd HTTP/1.1"), _TARGET, (404,)),
    Case("two slashes", _get(b"GET //health/live HTTP/1.1"), "RFC 3986, 3.3: another path", (404,)),
    Case("dot segments", _get(b"GET /x/../health/live HTTP/1.1"), "RFC 3986, 6: a server need not normalize", (404,)),
    Case("encoded dot segments", _get(b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1"), "RFC 3986, 6: the same", (404,)),
    Case("an encoded NUL", _get(b"GET /health/live%00{mark} HTTP/1.1"), "RFC 3986, 2.1: another path", (404,)),
    Case("encoded CRLF", _get(b"GET /x%0d%0aX-Injected:%20{mark} HTTP/1.1"), "RFC 3986, 2.1: data, no line end", (404,)),
    Case("overlong UTF-8", _get(b"GET /%c0%af{mark} HTTP/1.1"), "RFC 3629, 3: no character", (404,)),
    Case("a broken percent-encoding", _get(b"GET /%zz{mark} HTTP/1.1"), "RFC 3986, 2.1: another path", (404,)),
    Case("a lower-case method", _get(b"get /health/live HTTP/1.1"), _METHOD),
    Case("a method with a separator", _get(b"GE(T /health/live HTTP/1.1"), "RFC 9110, 9.1: a method is a token"),
    Case("an unknown method", _get(b"BREW /get-data HTTP/1.1"), _METHOD, (405,)),
    Case("TRACE", _get(b"TRACE /get-data HTTP/1.1", b"X: {mark}"), "RFC 9110, 9.3.8: need not be supported", (405,)),
    Case("version 2.0", _get(b"GET /health/live HTTP/2.0"), _VERSION, (505,)),
    Case("version 0.9", _get(b"GET /health/live HTTP/0.9"), _VERSION, (505,)),
    Case("version 1.2", _get(b"GET /health/live HTTP/1.2"), "RFC 9110, 2.5: served as the highest minor", (200,)),
    Case("version 1.10", _get(b"GET /health/live HTTP/1.10"), "RFC 9112, 2.3: one DIGIT each"),
    Case("a lower-case version", _get(b"GET /health/live http/1.1"), "RFC 9112, 2.3: HTTP-name is case-sensitive"),
    Case("no version", _get(b"GET /health/live "), _REQUEST_LINE),
    Case("one CRLF before", b"\r\n" + _get(), "RFC 9112, 2.2: at least one empty line SHOULD be ignored", (200,)),
    Case("a request line of 8 KiB", _get(b"GET /" + b"{mark}" * 256 + b" HTTP/1.1"), _LONG, (414,)),
    # --- header fields
    Case("whitespace before the first field", b"GET /health/live HTTP/1.1\r\n Host: a\r\n\r\n", "RFC 9112, 2.2: reject"),
    Case("a space before the colon", _get(host=b"Host : a"), _NAME),
    Case("a tab before the colon", _get(b"GET /health/live HTTP/1.1", b"X\t: {mark}"), _NAME),
    Case("no colon", _get(b"GET /health/live HTTP/1.1", b"Ocp-Apim-Subscription-Key {mark}"), _TOKEN),
    Case("no name", _get(b"GET /health/live HTTP/1.1", b": {mark}"), _TOKEN),
    Case("a name with a space", _get(b"GET /health/live HTTP/1.1", b"X {mark}: a"), _TOKEN),
    Case("a name with a NUL", _get(b"GET /health/live HTTP/1.1", b"X\0{mark}: a"), _TOKEN),
    Case("a name beyond ASCII", _get(b"GET /health/live HTTP/1.1", b"X\xe9: {mark}"), _TOKEN),
    Case("a name with a separator", _get(b"GET /health/live HTTP/1.1", b"X(a): {mark}"), _TOKEN),
    Case("a NUL in a value", _get(b"GET /health/live HTTP/1.1", b"X: {mark}\0a"), _VALUE),
    Case("a bare CR in a value", _get(b"GET /health/live HTTP/1.1", b"X: {mark}\rY: a"), _VALUE),
    Case("a bare LF in a value", _get(b"GET /health/live HTTP/1.1", b"X: {mark}\nTransfer-Encoding: chunked"), _LINES),
    Case("a control in a value", _get(b"GET /health/live HTTP/1.1", b"X: {mark}\x1b[2J"), _VALUE),
    Case("LFs for CRLFs", b"GET /health/live HTTP/1.1\nHost: a\n\n", _LINES),
    Case("an LF ends the head", b"GET /health/live HTTP/1.1\r\nHost: a\r\n\n" + _SMUGGLED, _LINES),
    Case("obs-fold", _get(b"GET /health/live HTTP/1.1", b"X: a", b" {mark}"), _FOLD),
    Case("obs-fold with a tab", _get(b"GET /health/live HTTP/1.1", b"X: a", b"\tTransfer-Encoding: chunked"), _FOLD),
    Case("bytes beyond ASCII in a value", _get(b"GET /health/live HTTP/1.1", b"X: \xff\xfe"), "RFC 9110, 5.5: obs-text", (200,)),
    Case("an empty value", _get(b"GET /health/live HTTP/1.1", b"X:"), "RFC 9110, 5.5: a value may be empty", (200,)),
    Case("whitespace around a value", _get(b"GET /health/live HTTP/1.1", b"X:  \t a \t"), "RFC 9112, 5: OWS", (200,)),
    Case("1000 fields", _get(b"GET /health/live HTTP/1.1", *[b"X: {mark}"] * 1000), _LARGE, (431,)),
    Case("a field of 16 KiB", _get(b"GET /health/live HTTP/1.1", b"X: " + b"{mark}" * 512), _LARGE, (431,)),
    Case("fields without end", b"GET / HTTP/1.1\r\n" + b"X: {mark}\r\n" * 30_000, _LARGE, (431,)),
    Case("no Host", _get(host=b""), _HOST),
    Case("no Host in HTTP/1.0", _get(b"GET /health/live HTTP/1.0", host=b""), "RFC 9112, 3.2: only of HTTP/1.1", (200,)),
    Case("two Hosts", _get(b"GET /health/live HTTP/1.1", b"Host: {mark}"), _HOST),
    Case("the same Host twice", _get(b"GET /health/live HTTP/1.1", b"Host: a"), _HOST),
    Case("a list of Hosts", _get(host=b"Host: a, {mark}"), _HOST),
    Case("a Host with a path", _get(host=b"Host: a/{mark}"), _HOST),
    Case("a Host with userinfo", _get(host=b"Host: {mark}@a"), _HOST),
    Case("a Host with a space", _get(host=b"Host: a {mark}"), _HOST),
    Case("a Host with two ports", _get(host=b"Host: a:1:2"), _HOST),
    Case("a Host with a word for a port", _get(host=b"Host: a:{mark}"), _HOST),
    Case("a Host with an open bracket", _get(host=b"Host: [::1"), _HOST),
    Case("a Host beyond ASCII", _get(host=b"Host: \xe9"), _HOST),
    Case("a Host with markup", _get(host=b"Host: <{mark}>"), _HOST),
    Case("an empty Host", _get(host=b"Host:"), "RFC 9112, 3.2: empty where the target has no authority", (200,)),
    Case("an IPv6 Host", _get(host=b"Host: [::1]:80"), "RFC 3986, 3.2.2: an IP-literal", (200,)),
    Case("an unknown expectation", _get(b"GET /health/live HTTP/1.1", b"Expect: {mark}"), _EXPECT, (417,)),
    Case("SCRIPT_NAME as a header", _get(b"GET /health/live HTTP/1.1", b"SCRIPT_NAME: /{mark}"), "no field of HTTP: ignored", (200,)),
    Case("underscores for dashes", _get(b"GET /me/usage HTTP/1.1", b"Ocp_Apim_Subscription_Key: {key}"), "RFC 9110, 5.1: another field", (401,)),
    Case("a forged scheme", _get(b"GET /health/live HTTP/1.1", b"X-Forwarded-Proto: https", b"X-Forwarded-Ssl: off"), "its proxies contradict each other"),
    # --- framing
    Case("a body shorter than Content-Length", _post(_SIZED, body=b"{"), _SHORT, ends=True),
    Case("no body for Content-Length", _post(_SIZED), _SHORT, ends=True),
    Case("two different Content-Lengths", _post(b"Content-Length: 0", _SIZED, body=_SMUGGLED), _LENGTHS),
    Case("the same Content-Length twice", _post(_SIZED, _SIZED, body=_BODY), _LENGTHS),
    Case("a list of Content-Lengths", _post(b"Content-Length: 0, %d" % _LENGTH, body=_SMUGGLED), _LENGTHS),
    Case("a negative Content-Length", _post(b"Content-Length: -1", body=_SMUGGLED), _LENGTHS),
    Case("a signed Content-Length", _post(b"Content-Length: +%d" % _LENGTH, body=_BODY), _LENGTHS),
    Case("a hexadecimal Content-Length", _post(b"Content-Length: 0x0", body=_SMUGGLED), _LENGTHS),
    Case("a Content-Length with a fraction", _post(b"Content-Length: 0.0", body=_SMUGGLED), _LENGTHS),
    Case("a Content-Length with an underscore", _post(b"Content-Length: 0_0", body=_SMUGGLED), _LENGTHS),
    Case("a Content-Length with a space", _post(b"Content-Length: 0 0", body=_SMUGGLED), _LENGTHS),
    Case("an empty Content-Length", _post(b"Content-Length:", body=_SMUGGLED), _LENGTHS),
    Case("a Content-Length in superscript", _post(b"Content-Length: \xb2", body=_SMUGGLED), _LENGTHS),
    Case("a Content-Length beyond 64 bits", _post(b"Content-Length: 18446744073709551617", body=b"{"), "RFC 9110, 8.6: anticipate large ones", (413,)),
    Case("a Content-Length of 5000 digits", _post(b"Content-Length: " + b"9" * 5000), _LENGTHS),
    Case("Content-Length with leading zeros", _post(b"Content-Length: 00%d" % _LENGTH, body=_BODY), "RFC 9110, 8.6: 1*DIGIT", (200,)),
    Case("Content_Length", _post(b"Content_Length: 0", _SIZED, body=_BODY), "RFC 9110, 5.1: another field", (200,)),
    Case("a GET with a body", _get(b"GET /health/live HTTP/1.1", b"Content-Length: 32") + b"{mark}", "RFC 9110, 9.3.1: of no meaning, but read", (200,)),
    Case("CL.TE", _post(b"Content-Length: %d" % (len(b"0\r\n\r\n") + 8), b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + _SMUGGLED), _BOTH),
    Case("TE.CL", _post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"5c\r\n" + _SMUGGLED + b"\r\n0\r\n\r\n"), _BOTH),
    Case("CL.0", _post(b"Content-Length: 0", b"Transfer-Encoding: identity", body=_SMUGGLED), _FINAL),
    Case("TE twice, the second of no meaning", _chunked(b"0\r\n\r\n" + _SMUGGLED, b"Transfer-Encoding: {mark}"), _UNKNOWN, (501,)),
    Case("TE twice, the first of no meaning", _post(b"Transfer-Encoding: {mark}", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + _SMUGGLED), _UNKNOWN, (501,)),
    Case("TE chunked twice", _chunked(b"0\r\n\r\n" + _SMUGGLED, b"Transfer-Encoding: chunked"), _TWICE),
    Case("TE chunked, chunked", _post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n" + _SMUGGLED), _TWICE),
    Case("TE chunked, identity", _post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n" + _SMUGGLED), _FINAL),
    Case("TE gzip, chunked", _post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n" + _SMUGGLED), _UNKNOWN, (501,)),
    Case("TE gzip", _post(b"Transfer-Encoding: gzip", body=_SMUGGLED), _FINAL),
    Case("TE xchunked", _post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + _SMUGGLED), _UNKNOWN, (501,)),
    Case("TE chunked in quotes", _post(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n" + _SMUGGLED), _UNKNOWN, (501,)),
    Case("TE chunked with a parameter", _post(b"Transfer-Encoding: chunked;q=1", body=b"0\r\n\r\n" + _SMUGGLED), _UNKNOWN, (501,)),
    Case("TE with a vertical tab", _post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n" + _SMUGGLED), _VALUE),
    Case("TE with a NUL", _post(b"Transfer-Encoding: chunked\0", body=b"0\r\n\r\n" + _SMUGGLED), _VALUE),
    Case("TE with a space before the colon", _post(b"Transfer-Encoding : chunked", _SIZED, body=_BODY), _NAME),
    Case("TE folded", _post(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n" + _SMUGGLED), _FOLD),
    Case("TE behind a bare LF", _post(b"X: a\nTransfer-Encoding: chunked", _SIZED, body=_BODY), _LINES),
    Case("TE empty", _post(b"Transfer-Encoding:", body=_SMUGGLED), _UNKNOWN, (501,)),
    Case("TE in capitals", _post(b"TRANSFER-ENCODING: CHUNKED", body=_CHUNKS), "RFC 9110, 5.1; RFC 9112, 7: case does not matter", (200,)),
    Case("TE chunked in HTTP/1.0", _post(b"Transfer-Encoding: chunked", line=b"POST /get-data HTTP/1.0", body=_CHUNKS), "RFC 9112, 6.1: MUST be treated as faulty framing"),
    Case("Transfer_Encoding", _post(b"Transfer_Encoding: chunked", _SIZED, body=_BODY), "RFC 9110, 5.1: another field", (200,)),
    # --- chunks
    Case("a whole chunked body", _chunked(_CHUNKS), "RFC 9112, 7.1", (200,)),
    Case("a chunk size in capitals and with zeros", _chunked(b"000%X\r\n%b\r\n00\r\n\r\n" % (_LENGTH, _BODY)), _SIZE, (200,)),
    Case("a chunk size of no number", _chunked(_chunk(b"{mark}", b"a")), _SIZE),
    Case("an empty chunk size", _chunked(_chunk(b"", b"0", b"")), _SIZE),
    Case("a negative chunk size", _chunked(_chunk(b"-1", b"", b"0", b"") + _SMUGGLED), _SIZE),
    Case("a signed chunk size", _chunked(_chunk(b"+0", b"") + _SMUGGLED), _SIZE),
    Case("a chunk size with 0x", _chunked(_chunk(b"0x0", b"") + _SMUGGLED), _SIZE),
    Case("a chunk size with an underscore", _chunked(_chunk(b"0_0", b"") + _SMUGGLED), _SIZE),
    Case("a chunk size beyond 64 bits", _chunked(_chunk(b"10000000000000000", b"") + _SMUGGLED), _SIZE),
    Case("a chunk size of 64 bits", _chunked(_chunk(b"ffffffffffffffff", b"")), _SIZE, (413,)),
    Case("a chunk size of 9000 zeros", _chunked(b"0" * 9000), _SIZE),
    Case("a space before the chunk size", _chunked(_chunk(b" 0", b"") + _SMUGGLED), _SIZE),
    Case("a space behind the chunk size", _chunked(_chunk(b"0 ", b"") + _SMUGGLED), _SIZE),
    Case("a chunk that is longer than its size", _chunked(_chunk(b"1", b"{{", b"0", b"")), _DATA),
    Case("a chunk that is shorter than its size", _chunked(_chunk(b"5", b"{", b"0", b"")), _DATA),
    Case("a chunk size that ends with LF", _chunked(b"1\n{\r\n0\r\n\r\n" + _SMUGGLED), _LINES),
    Case("a chunk that ends with LF", _chunked(b"1\r\n{\n0\r\n\r\n" + _SMUGGLED), _DATA),
    Case("a chunk that ends with CR", _chunked(b"1\r\n{\r0\r\n\r\n" + _SMUGGLED), _DATA),
    Case("a last chunk that ends with LF", _chunked(b"0\n\n" + _SMUGGLED), _LINES),
    Case("no last chunk", _chunked(_chunk(b"1", b"{")), _SHORT, ends=True),
    Case("a last chunk without its CRLF", _chunked(b"0\r\n"), _SHORT, ends=True),
    Case("a chunk extension", _chunked(b'%x;a=b;c="d;e";f\r\n%b\r\n0;g\r\n\r\n' % (_LENGTH, _BODY)), _EXTENSION, (200,)),
    Case("a chunk extension with a control", _chunked(_chunk(b"0;a=\x01{mark}", b"") + _SMUGGLED), _EXTENSION),
    Case("a chunk extension with LF", _chunked(b"0;a\n{mark}\r\n\r\n" + _SMUGGLED), _EXTENSION),
    Case("a chunk extension with CR", _chunked(b"0;a\r{mark}\r\n\r\n" + _SMUGGLED), _EXTENSION),
    Case("a chunk extension of 16 KiB", _chunked(b"1;a=" + b"{mark}" * 512 + b"\r\n{\r\n0\r\n\r\n"), _EXTENSION, (400,)),
    Case("chunk extensions of 512 KiB", _chunked((b"1;a=" + b"{mark}" * 64 + b"\r\n \r\n") * 256 + b"0\r\n\r\n"), _EXTENSION, (413,)),
    Case("a trailer", _chunked(_CHUNKS[:-2] + b"X-Trailer: {mark}\r\n\r\n"), "RFC 9110, 6.5: may be discarded", (200,)),
    Case("a trailer without a colon", _chunked(_CHUNKS[:-2] + b"{mark}\r\n\r\n"), _TOKEN),
    Case("a trailer with Content-Length", _chunked(_CHUNKS[:-2] + b"Content-Length: 0\r\n\r\n"), _TRAILER),
    Case("a trailer with Transfer-Encoding", _chunked(_CHUNKS[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"), _TRAILER),
    Case("a trailer with Host", _chunked(_CHUNKS[:-2] + b"Host: {mark}\r\n\r\n"), _TRAILER),
    Case("a trailer with Authorization", _chunked(_CHUNKS[:-2] + b"Authorization: Bearer {mark}\r\n\r\n"), _TRAILER),
    Case("a key in a trailer", _get(b"POST /get-data HTTP/1.1", b"Content-Type: application/json", b"Transfer-Encoding: chunked") + _CHUNKS[:-2] + b"Ocp-Apim-Subscription-Key: {key}\r\n\r\n", "RFC 9110, 6.5.1: no key in a trailer counts", (401,)),
    Case("trailers without end", _chunked(_CHUNKS[:-2] + b"X: {mark}\r\n" * 30_000), _LARGE, (431,)),
    # --- one behind the other
    Case("two whole requests", _get() + _get(), _PIPELINE, (200, 200)),
    Case("a prompt and a whole request", _post(_SIZED, body=_BODY) + _get(), _PIPELINE, (200, 200)),
    Case("a request behind a broken one", _get(b"GET /a b HTTP/1.1") + _SMUGGLED, _PIPELINE),
    Case("a broken one behind a whole one", _get() + b"{mark}\r\n\r\n" + _SMUGGLED, _PIPELINE, (200, 400)),
    Case("a request behind Connection: close", _get(b"GET /health/live HTTP/1.1", b"Connection: close") + _SMUGGLED, "RFC 9112, 9.6: nothing behind it is processed", (200,)),
    Case("a request behind HTTP/1.0", _get(b"GET /health/live HTTP/1.0") + _SMUGGLED, "RFC 9112, 9.3: no persistence by default", (200,)),
    Case("a request behind a body that is too large", _post(b"Content-Length: 99999999", body=_SMUGGLED), "RFC 9110, 15.5.14: may close", (413,)),
    Case("a request inside a body", _post(b"Content-Length: {length}", body=_SMUGGLED), "RFC 9112, 6.2: content, whatever it looks like", (400,)),
    Case("a request behind an Upgrade", _get(b"GET /health/live HTTP/1.1", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), "RFC 9110, 7.8: an Upgrade may be ignored", (200,)),
    Case("a prompt without a length", _post(), "RFC 9112, 6.3: without either there is no body", (400,)),
    Case("a body nobody announced", _post(body=_BODY), "RFC 9112, 6.3: it is the next request, and no good one", (400, 400), ends=True),
)  # fmt: skip
"""All of them."""
