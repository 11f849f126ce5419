"""Debug tokens and debug traces, as Azure API Management's `listDebugCredentials` and `listTrace`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, jsonify

from app.body import json_object
from app.documents import moment
from app.management.schemas import ListDebugCredentials, ListTrace
from app.openapi.operation import describe
from app.openapi.operations import management
from app.schemas import checked
from app.services import services
from gateway.traces import LONGEST

if TYPE_CHECKING:
    from flask import Response

blueprint = Blueprint("traces", __name__)

_CREDENTIALS = ListDebugCredentials()
_TRACE = ListTrace()


@blueprint.post("/subscriptions/<sid>/listDebugCredentials", endpoint="list debug credentials")
@describe(management.LIST_DEBUG_CREDENTIALS)
def list_debug_credentials(sid: str) -> Response:
    """Make a token with which this subscription's requests are traced, for an hour at most.

    The caller sends it in the header `Apim-Debug-Authorization`; the answer then has `Apim-Trace-Id`.
    """
    wanted = checked(_CREDENTIALS, json_object('{"credentialsExpireAfter": "PT1H", "purposes": ["tracing"]}'))
    subscription = services().subscriptions.get(sid)
    issued = services().traces.issue(subscription.id, wanted.get("lifetime", LONGEST))
    return jsonify(token=issued.token, expirationDate=moment(issued.expires_at))


@blueprint.post("/listTrace", endpoint="list trace")
@describe(management.LIST_TRACE)
def list_trace() -> Response:
    """The steps of a request that was traced, with their times and what was decided.

    It has no key, and nothing that the caller or the model wrote.
    """
    wanted = checked(_TRACE, json_object('{"traceId": "4bf92f3577b34da6a3ce929d0e0e4736"}'))
    return jsonify(services().traces.get(wanted["traceId"]))
