// serve/error_reply.h: errors as OpenAI's clients read them.
#pragma once
#include "serve/api_error.h"
#include "serve/http/exchange.h"

namespace loraxs {

/// {"error": {"message", "type", "param", "code"}} with its status, Retry-After where it is said, and WWW-Authenticate
/// on a 401. Its body is the error event of a stream too.
HttpReply error_reply(const ApiError& error);

}  // namespace loraxs
