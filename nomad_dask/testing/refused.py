"""The one exception of the embedded archive: a request answered with an error, in the server's words."""

from typing import Any


class Refused(Exception):
    """Answered with this status and `{"detail": detail}`."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


def unknown_quantity(name: str, loc: list[Any]) -> Refused:
    """The 422 of a name that the search knows nothing of."""
    return Refused(422, [{"msg": f"{name} is not a doc quantity", "loc": [loc]}])


def invalid(kind: str, loc: list[Any], msg: str, given: Any, **more: Any) -> Refused:
    """The 422 of a body that does not have the form of the API's models."""
    return Refused(422, [{"type": kind, "loc": loc, "msg": msg, "input": given, **more}])


def search_failed(reason: str) -> Refused:
    """The 400 of a request that the search engine behind the API refuses."""
    cause = f"BadRequestError(400, 'search_phase_execution_exception', '{reason}', {reason})"
    return Refused(400, f"Elasticsearch could not process your query: {cause}")


def unexpected(exception_class: str, exception: str = "", traceback: str = "...") -> Refused:
    """The 500 of a request that the API did not see coming."""
    detail = {
        "reason": "Unexpected exception while handling your request",
        "exception": exception,
        "exception_class": exception_class,
        "exception_traceback": traceback,
    }
    return Refused(500, detail)
