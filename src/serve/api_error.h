// serve/api_error.h: what a client is told when its request is refused: a status of HTTP and OpenAI's error object.
#pragma once
#include <string>
#include <utility>

#include "io/error.h"

namespace loraxs {

/// Leaves what serves a request; the answer is {"error": {message, type, param, code}} with this status. A plain Error
/// is a 400. Anything else is a 500 whose text stays in the log.
class ApiError : public Error {
 public:
  ApiError(int status, const std::string& message, std::string param = "", std::string code = "")
      : Error(message), status_(status), param_(std::move(param)), code_(std::move(code)) {}

  int status() const { return status_; }
  const std::string& param() const { return param_; }  // the field at fault, "messages[2].role"; empty: none
  const std::string& code() const { return code_; }    // "model_not_found"; empty: none

  int retry_after = 0;  // seconds, of a 429 and 503; 0: not said

 private:
  int status_;
  std::string param_, code_;
};

}  // namespace loraxs
