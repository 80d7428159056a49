// serve/gate.h: who may do what, and how much of it: the one gate before every route.
#pragma once
#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "serve/answering.h"
#include "serve/http/exchange.h"

namespace loraxs {

enum class Right : uint8_t {
  kInfer,    // ask models
  kManage,   // delete, pin and unpin the tenant's own adapters
  kOperate,  // see every tenant's, metrics
};

/// A stream, a queued or a running request of a tenant; counts against its quota until it is let go.
class Admission {
 public:
  virtual ~Admission() = default;
  /// What the request used in the end, for the quotas of the next ones. Any thread.
  virtual void used(int64_t tokens) = 0;
};

/// What a request may use.
struct Demand {
  int64_t tokens = 0;              // at most
  int64_t bytes = 0;               // of its body
  std::set<std::string> adapters;  // by ServedModel::key
};

/// Thread-safe. With no keys (--no-auth) everybody may do everything.
class Gate {
 public:
  virtual ~Gate() = default;
  /// The caller of a request. Throws ApiError: 401 without a key that is known, 403 without the right.
  virtual Caller check(const HttpRequest& request, Right right) = 0;
  /// Counts a request. Throws ApiError 429 when a quota is reached, with retry_after where waiting helps.
  virtual std::unique_ptr<Admission> admit(const Caller& caller, const Demand& demand) = 0;
};

}  // namespace loraxs
