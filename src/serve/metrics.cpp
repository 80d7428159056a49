#include "serve/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <set>
#include <string_view>

namespace loraxs {
namespace {

constexpr const char* kOtherLabel = "other";
constexpr std::array<std::string_view, 17> kRoutes = {"/",
                                                      "/v1/models",
                                                      "/v1/chat/completions",
                                                      "/v1/completions",
                                                      "/v1/responses",
                                                      "/v1/embeddings",
                                                      "/v1/classify",
                                                      "/classify",
                                                      "/tokenize",
                                                      "/detokenize",
                                                      "/v1/load_lora_adapter",
                                                      "/v1/unload_lora_adapter",
                                                      "/health",
                                                      "/ready",
                                                      "/metrics",
                                                      "/version",
                                                      "/openapi.json"};
constexpr std::array<std::string_view, 6> kMethods = {"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT"};

struct EngineRow {
  const char* name;
  const char* help;
  prometheus::MetricType type;
  double (*value)(const EngineState&);
};
constexpr auto kGauge = prometheus::MetricType::Gauge, kCounter = prometheus::MetricType::Counter;
template <auto Member>
double member_of(const EngineState& state) {
  return static_cast<double>(state.*Member);
}
constexpr EngineRow kEngineRows[] = {
    {"loraxs_ready", "1 when the server can answer", kGauge, member_of<&EngineState::ready>},
    {"loraxs_requests_running", "Requests in the batch", kGauge, member_of<&EngineState::running>},
    {"loraxs_requests_waiting", "Requests in the queues", kGauge, member_of<&EngineState::waiting>},
    {"loraxs_resident_rows", "Adapters whose rows are in memory", kGauge, member_of<&EngineState::resident_rows>},
    {"loraxs_resident_capacity", "Rows that memory has places for", kGauge, member_of<&EngineState::resident_capacity>},
    {"loraxs_row_loads_total", "Rows read from the store", kCounter, member_of<&EngineState::row_loads>},
    {"loraxs_cache_blocks", "Blocks of the cache of keys and values", kGauge, member_of<&EngineState::cache_blocks>},
    {"loraxs_cache_blocks_free", "Those that no request holds", kGauge, member_of<&EngineState::free_blocks>},
    {"loraxs_prompt_tokens_total", "Tokens of prompts", kCounter, member_of<&EngineState::prompt_tokens>},
    {"loraxs_cached_tokens_total", "Tokens of prompts that were found in the prefix cache", kCounter,
     member_of<&EngineState::cached_tokens>},
    {"loraxs_answer_tokens_total", "Tokens of answers", kCounter, member_of<&EngineState::answer_tokens>},
    {"loraxs_steps_total", "Steps of the engine", kCounter, member_of<&EngineState::steps>},
    {"loraxs_interruptions_total", "Steps given up for somebody new", kCounter, member_of<&EngineState::interruptions>},
    {"loraxs_step_seconds_total", "Time in steps of the engine", kCounter, member_of<&EngineState::step_seconds>},
};

prometheus::MetricFamily single_value(const char* name, const char* help, prometheus::MetricType type, double value) {
  prometheus::ClientMetric metric;
  metric.gauge.value = value;
  metric.counter.value = value;
  return {.name = name, .help = help, .type = type, .metric = {metric}};
}

prometheus::Family<prometheus::Counter>& counters(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

prometheus::Histogram& histogram(prometheus::Registry& registry, const char* name, const char* help,
                                 const prometheus::Histogram::BucketBoundaries& bounds) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, bounds);
}

prometheus::Histogram::BucketBoundaries seconds_bounds() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
}
prometheus::Histogram::BucketBoundaries batch_bounds() { return {1, 2, 4, 8, 16, 32, 64, 128, 256}; }

}  // namespace

std::string route_label(const std::string& path) {
  if (std::find(kRoutes.begin(), kRoutes.end(), path) != kRoutes.end()) return path;
  return path.starts_with("/v1/models/") ? "/v1/models/{model}" : kOtherLabel;
}

class Metrics::Parts {
 public:
  Parts(std::function<EngineState()> engine, std::function<HttpServerState()> http)
      : engine_(std::move(engine)), http_(std::move(http)) {}

  void answered(const HttpRecord& record) {
    const bool known = std::find(kMethods.begin(), kMethods.end(), record.method) != kMethods.end();
    const std::string route = route_label(record.path);
    requests_
        .Add({{"method", known ? record.method : kOtherLabel},
              {"route", route},
              {"status", record.status == 0 ? "gone" : std::to_string(record.status)}})
        .Increment();
    seconds_.Add({{"route", route}}, seconds_bounds()).Observe(record.seconds);
    received_.Increment(static_cast<double>(record.request_bytes));
    sent_.Increment(static_cast<double>(record.reply_bytes));
  }

  void used(const std::string& tenant, int64_t prompt, int64_t cached, int64_t answer) {
    const std::string label = tenant_label(tenant);
    struct Kind {
      const char* name;
      int64_t tokens;
    };
    for (const Kind& kind : {Kind{"prompt", prompt}, Kind{"cached", cached}, Kind{"answer", answer}}) {
      if (kind.tokens > 0) {
        tenants_.Add({{"tenant", label}, {"kind", kind.name}}).Increment(static_cast<double>(kind.tokens));
      }
    }
  }

  std::string text() const {
    std::vector<prometheus::MetricFamily> families = registry_.Collect();
    if (engine_) {
      const EngineState state = engine_();
      families.reserve(families.size() + std::size(kEngineRows));
      for (const EngineRow& row : kEngineRows) {
        families.push_back(single_value(row.name, row.help, row.type, row.value(state)));
      }
    }
    if (http_) {
      const HttpServerState state = http_();
      families.push_back(
          single_value("loraxs_http_connections", "Open connections", kGauge, static_cast<double>(state.connections)));
      families.push_back(single_value("loraxs_http_requests_open", "Requests whose answers have not ended", kGauge,
                                      static_cast<double>(state.requests)));
    }
    return prometheus::TextSerializer().Serialize(families);
  }

 private:
  std::string tenant_label(const std::string& tenant) {
    const std::lock_guard lock(mutex_);
    if (seen_.contains(tenant)) return tenant;
    if (seen_.size() >= kMostTenants) return kOtherLabel;
    seen_.insert(tenant);
    return tenant;
  }

  const std::function<EngineState()> engine_;
  const std::function<HttpServerState()> http_;
  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& requests_ =
      counters(registry_, "loraxs_http_requests_total", "HTTP requests that were answered");
  prometheus::Family<prometheus::Histogram>& seconds_ = prometheus::BuildHistogram()
                                                            .Name("loraxs_http_request_seconds")
                                                            .Help("From a whole request to the end of its answer")
                                                            .Register(registry_);
  prometheus::Counter& received_ =
      counters(registry_, "loraxs_http_received_bytes_total", "Bodies of requests").Add({});
  prometheus::Counter& sent_ = counters(registry_, "loraxs_http_sent_bytes_total", "Bodies of answers").Add({});
  prometheus::Family<prometheus::Counter>& tenants_ =
      counters(registry_, "loraxs_tenant_tokens_total", "Tokens by tenant and kind");
  std::mutex mutex_;
  std::set<std::string> seen_;

 public:
  prometheus::Histogram& first_token_ = histogram(registry_, "loraxs_first_token_seconds",
                                                  "From a request's coming to its first token", seconds_bounds());
  prometheus::Histogram& gap_ =
      histogram(registry_, "loraxs_token_gap_seconds", "From one token of a stream to the next", seconds_bounds());
  prometheus::Histogram& batch_ = histogram(registry_, "loraxs_batch_sequences", "Sequences in a step", batch_bounds());
};

Metrics::Metrics(std::function<EngineState()> engine, std::function<HttpServerState()> http)
    : parts_(std::make_unique<Parts>(std::move(engine), std::move(http))) {}
Metrics::~Metrics() = default;
void Metrics::answered(const HttpRecord& record) { parts_->answered(record); }
void Metrics::first_token(double seconds) { parts_->first_token_.Observe(seconds); }
void Metrics::gap(double seconds) { parts_->gap_.Observe(seconds); }
void Metrics::batch(int64_t sequences) { parts_->batch_.Observe(static_cast<double>(sequences)); }
void Metrics::used(const std::string& tenant, int64_t prompt_tokens, int64_t cached_tokens, int64_t answer_tokens) {
  parts_->used(tenant, prompt_tokens, cached_tokens, answer_tokens);
}
std::string Metrics::text() const { return parts_->text(); }

}  // namespace loraxs
