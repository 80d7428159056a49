// serve/metrics.h: counts and times of a server in the text form that Prometheus reads.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "serve/answering.h"
#include "serve/http/server.h"

namespace loraxs {

/// Members are called from any thread. Labels are bounded: routes are those that we have, others "other"; tenants the
/// first 100 that come, others "other".
class Metrics {
 public:
  /// `engine`, `http`: asked at each scrape; null: their numbers are left out.
  explicit Metrics(std::function<EngineState()> engine, std::function<HttpServerState()> http = nullptr);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void answered(const HttpRecord& record);  // an HTTP request has its answer
  void first_token(double seconds);         // from a request's coming to its first token
  void gap(double seconds);                 // from one token of a stream to the next
  void batch(int64_t sequences);            // of one step
  void used(const std::string& tenant, int64_t prompt_tokens, int64_t cached_tokens, int64_t answer_tokens);

  [[nodiscard]] std::string text() const;

  static constexpr std::size_t kMostTenants = 100;

 private:
  class Parts;
  std::unique_ptr<Parts> parts_;
};

/// "/v1/models/anna/a" -> "/v1/models/{model}"; "other" for what is no route of ours.
std::string route_label(const std::string& path);

}  // namespace loraxs
