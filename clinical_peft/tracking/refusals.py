"""What a user reads when an MLflow store does not take what is sent: one line, without anything that a server wrote.

A server's answer may hold what was sent to it, credentials included, so that no part of it is quoted.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from clinical_peft.errors import TrackingError
from clinical_peft.tracking.moved_store import upgrade_command
from clinical_peft.tracking.stores import REMEDIES, is_server, scheme_of, shown

OUTDATED = "out-of-date database schema"
UNAUTHENTICATED, PERMISSION_DENIED = "UNAUTHENTICATED", "PERMISSION_DENIED"
STATUS_OF_CODE = {UNAUTHENTICATED: 401, "CUSTOMER_UNAUTHORIZED": 401, PERMISSION_DENIED: 403}


@contextmanager
def refusals_in_one_line(uri: str) -> Iterator[None]:
    """Turn what MLflow and the libraries below it raise into one line about a store.

    Args:
        uri: The store.

    Raises:
        TrackingError: The block's own, or instead of an error of MLflow, of a request or of a database.
    """
    import requests
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError) as error:
        raise TrackingError(f"MLflow at {shown(uri)} {_reason(uri, error)}") from error
    except ModuleNotFoundError as error:
        if not is_server(uri):
            raise
        raise TrackingError(f"MLflow at {shown(uri)} needs the Python package {error.name}; install it") from error


def _reason(uri: str, error: Exception) -> str:
    """What went wrong, and what to do about it."""
    import requests
    import urllib3

    if OUTDATED in str(error):
        return f"has the tables of another version; back it up, then upgrade it with: {upgrade_command(shown(uri))}"
    causes = list(_causes(error))
    is_refused = any(isinstance(cause, urllib3.exceptions.NewConnectionError) for cause in causes)  # a timeout, by name
    slow = requests.Timeout | urllib3.exceptions.TimeoutError
    if not is_refused and any(isinstance(cause, slow) for cause in causes):
        return "did not answer in time; MLFLOW_HTTP_REQUEST_TIMEOUT sets how many seconds to wait"
    if any(isinstance(cause, requests.exceptions.RetryError) for cause in causes):
        return "failed or is overloaded (HTTP 429 or 5xx); ask who runs it"
    if any(isinstance(cause, requests.ConnectionError) for cause in causes):
        return "cannot be reached; check its address and whether it runs"
    code = getattr(error, "error_code", None)
    status = STATUS_OF_CODE.get(str(code)) or _status(error)
    if status == 401:
        return f"did not accept the credentials (401); {REMEDIES.get(scheme_of(uri), REMEDIES['http'])}"
    if status == 403:
        return "does not let this user write there (403); ask who runs it"
    told = code or (f"HTTP {status}" if status else type(error).__name__)
    return f"refused with {told}; check that it can be reached and written, then run the same command again"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those behind it; requests and urllib3 keep them in arguments and in `reason`."""
    while error is not None:
        yield error
        inner = [*error.args[:1], getattr(error, "reason", None)]
        yield from (each for each in inner if isinstance(each, BaseException))
        error = error.__cause__ or error.__context__


def _status(error: Exception) -> int | None:
    """HTTP status of a request that failed; None of other errors."""
    return getattr(getattr(error, "response", None), "status_code", None)


def is_hidden(error: Exception) -> bool:
    """Whether MLflow refused to show something because it belongs to another user."""
    return getattr(error, "error_code", None) == PERMISSION_DENIED


def is_taken(error: Exception) -> bool:
    """Whether MLflow refused to create something because its name is taken."""
    return getattr(error, "error_code", None) == "RESOURCE_ALREADY_EXISTS"
