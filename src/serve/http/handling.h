// serve/http/handling.h: a request goes to its handler, on a thread of its own.
#pragma once
#include <memory>

#include "serve/http/answer_state.h"
#include "serve/http/exchange.h"

namespace loraxs {

struct HttpShared;

/// What the handler throws becomes the answer; so does that it lets the exchange go without one.
void handle_request(HttpShared& shared, HttpRequest request, std::shared_ptr<AnswerState> answer);

}  // namespace loraxs
