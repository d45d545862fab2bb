"""What a signed request signs on the WebSocket API: its parameters, sorted by name."""

from urllib.parse import quote_plus, urlencode

import msgspec

from exchange.protocol.requests import Params


def signed_payload(params: Params) -> str:
    """Return `name=value` of all parameters but the signature, sorted, joined by `&`.

    Values are their text in the frame; strings without quotes.
    """
    parts = []
    for name in sorted(params):
        if name == "signature":
            continue
        value = params[name]
        parts.append(f"{name}={value if type(value) is str else _token(value)}")
    return "&".join(parts)


def urlencoded_payload(params: Params) -> str:
    """Return the other form that some clients sign: the same list, percent-encoded."""
    pairs = [
        (name, params[name] if type(params[name]) is str else _token(params[name]))
        for name in sorted(params)
        if name != "signature"
    ]
    return urlencode(pairs, quote_via=quote_plus)


def _token(value: object) -> str:
    return str(value) if type(value) is int else msgspec.json.encode(value).decode()
