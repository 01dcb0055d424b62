"""The page of a failure, for who came with a browser: what happened in a sentence, and a way on."""

from http import HTTPStatus
from typing import Final

from fastapi import Request, Response

from platform_api.pages.rendering import locale_of, render
from platform_api.pages.texts import N_

TEXTS: Final = {
    HTTPStatus.FORBIDDEN: N_("Your role does not allow this."),
    HTTPStatus.NOT_FOUND: N_("There is no such page, or it is not yours to see."),
    HTTPStatus.UNPROCESSABLE_ENTITY: N_("This address is not complete, or was mistyped."),
    HTTPStatus.TOO_MANY_REQUESTS: N_("Too many requests. Wait a minute, then try again."),
    HTTPStatus.SERVICE_UNAVAILABLE: N_("The platform is busy or its database is away. Try again in a moment."),
}
OTHER: Final = N_("Something went wrong on our side. It has been logged; try again.")


def show_fault(request: Request, status: HTTPStatus) -> Response:
    """A page that says why there is no other, in the reader's language."""
    context = {"status": int(status), "text": TEXTS.get(status, OTHER)}
    return render("fault.html", locale_of(request), context, status=status)
