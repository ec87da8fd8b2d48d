"""What stands in front of the endpoints: doubled slashes, pages of other origins, gzip."""

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from query.sending import PIECE_BYTES
from query.settings import QuerySettings
from query.slashes import Slashes

# A smaller answer is one packet or two either way.
SMALL_BYTES = 2048


def front(settings: QuerySettings) -> list[Middleware]:
    """Return the middleware, the outermost first."""
    stands = [Middleware(Slashes)]
    if settings.query_cors_origin.pattern:
        stands.append(
            Middleware(
                CORSMiddleware,
                allow_origin_regex=settings.query_cors_origin.pattern,
                allow_methods=["GET", "POST", "OPTIONS"],
                allow_headers=["Accept", "Authorization", "Content-Type", "X-Scope-OrgID"],
            )
        )
    if settings.query_gzip:
        # Each piece in a thread: an answer of megabytes would hold up all others.
        stands.append(
            Middleware(
                GZipMiddleware,
                minimum_size=SMALL_BYTES,
                compresslevel=settings.query_gzip,
                thread_minimum_size=PIECE_BYTES,
            )
        )
    return stands
