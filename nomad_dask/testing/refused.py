"""The exception of the embedded archive for requests that are answered with an error, in NOMAD's words."""

from typing import Any


class Refused(Exception):
    """Answer with this status and `{"detail": detail}`."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


def unknown_quantity(name: str, loc: list[Any]) -> Refused:
    """Return the 422 for a name that is not a quantity of the index."""
    return Refused(422, [{"msg": f"{name} is not a doc quantity", "loc": [loc]}])


def invalid(kind: str, loc: list[Any], msg: str, given: Any, **more: Any) -> Refused:
    """Return the 422 for a body that does not match the API's models."""
    return Refused(422, [{"type": kind, "loc": loc, "msg": msg, "input": given, **more}])


def search_failed(reason: str) -> Refused:
    """Return the 400 for a request that the search engine refuses."""
    cause = f"BadRequestError(400, 'search_phase_execution_exception', '{reason}', {reason})"
    return Refused(400, f"Elasticsearch could not process your query: {cause}")


def unexpected(exception_class: str, exception: str = "", traceback: str = "...") -> Refused:
    """Return the 500 for an unexpected exception."""
    detail = {
        "reason": "Unexpected exception while handling your request",
        "exception": exception,
        "exception_class": exception_class,
        "exception_traceback": traceback,
    }
    return Refused(500, detail)
