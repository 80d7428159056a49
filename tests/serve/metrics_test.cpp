// Metrics and the access log: what is counted, and that neither labels nor lines grow with what clients send.
#include "serve/metrics.h"

#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "io/input_file.h"
#include "io/json.h"
#include "serve/access_log.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

TEST(MetricsTest, NumbersAreThoseOfTheEngineAndTheServer) {
  const EngineState state{.ready = true, .running = 3, .waiting = 4, .row_loads = 5, .step_seconds = 0.5};
  const Metrics metrics([&] { return state; }, [] { return HttpServerState{.connections = 7, .requests = 2}; });
  const std::string text = metrics.text();
  for (const char* line :
       {"# TYPE loraxs_requests_running gauge", "\nloraxs_requests_running 3\n", "\nloraxs_requests_waiting 4\n",
        "# TYPE loraxs_row_loads_total counter", "\nloraxs_row_loads_total 5\n", "\nloraxs_step_seconds_total 0.5\n",
        "\nloraxs_ready 1\n", "\nloraxs_http_connections 7\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
}

TEST(MetricsTest, RequestsCountByRouteAndStatus) {
  Metrics metrics(nullptr);
  metrics.answered(
      {.method = "POST", .path = "/v1/chat/completions", .status = 200, .request_bytes = 9, .seconds = 0.02});
  metrics.answered({.method = "POST", .path = "/v1/chat/completions", .status = 200, .request_bytes = 1, .seconds = 2});
  metrics.answered({.method = "GET", .path = "/v1/models/anna/a", .status = 404});
  for (int i = 0; i < 1000; ++i) {
    metrics.answered({.method = "M" + std::to_string(i), .path = "/wp-" + std::to_string(i), .status = 0});
  }
  metrics.gap(0.003);
  metrics.first_token(0.3);
  metrics.batch(5);
  const std::string text = metrics.text();
  for (const char* line : {R"(loraxs_http_requests_total{method="POST",route="/v1/chat/completions",status="200"} 2)",
                           R"(loraxs_http_requests_total{method="GET",route="/v1/models/{model}",status="404"} 1)",
                           R"(loraxs_http_requests_total{method="other",route="other",status="gone"} 1000)",
                           R"(loraxs_http_request_seconds_bucket{route="/v1/chat/completions",le="0.025"} 1)",
                           "loraxs_http_received_bytes_total 10", R"(loraxs_token_gap_seconds_bucket{le="0.0025"} 0)",
                           R"(loraxs_token_gap_seconds_bucket{le="0.005"} 1)", "loraxs_first_token_seconds_count 1",
                           R"(loraxs_batch_sequences_bucket{le="8"} 1)"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
}

TEST(MetricsTest, TenantsBeyondTheHundredthAreOthers) {
  Metrics metrics(nullptr);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 150; ++i) metrics.used("t" + std::to_string(i), 2, 0, 1);
  }
  const std::string text = metrics.text();
  EXPECT_NE(text.find(R"(loraxs_tenant_tokens_total{kind="prompt",tenant="t99"} 4)"), std::string::npos) << text;
  EXPECT_NE(text.find(R"(loraxs_tenant_tokens_total{kind="prompt",tenant="other"} 200)"), std::string::npos);
  EXPECT_EQ(text.find("t100"), std::string::npos);
  EXPECT_EQ(text.find("cached"), std::string::npos);
}

TEST(MetricsTest, TheDashboardAsksForWhatThereIs) {
  Metrics metrics([] { return EngineState(); }, [] { return HttpServerState(); });
  metrics.answered({.method = "GET", .path = "/health", .status = 200});
  metrics.used("anna", 1, 1, 1);
  metrics.gap(1);
  const std::string text = metrics.text();
  const std::string dashboard = read_json(LORAXS_SOURCE_DIR "/deploy/grafana.json").dump();
  std::set<std::string> names;
  const std::regex name("loraxs_[a-z_]+");
  for (std::sregex_iterator at(dashboard.begin(), dashboard.end(), name), end; at != end; ++at) names.insert(at->str());
  EXPECT_GT(names.size(), 12U);
  for (const std::string& each : names) {
    EXPECT_TRUE(text.find("\n" + each + " ") != std::string::npos || text.find("\n" + each + "{") != std::string::npos)
        << each;
  }
}

TEST(AccessLogTest, LinesAreJsonAndFollowTheFile) {
  const test::TemporaryFolder folder;
  const auto path = folder / "access.jsonl";
  AccessLog log(path);
  log.write(access_line({.id = "a", .method = "GET", .path = "/x\n\x1b", .peer = "::1", .status = 200, .whole = true}));
  std::string text = read_file(path);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  const nlohmann::json line = parse_json(text, "line");
  EXPECT_EQ(line.at("path"), "/x\n\x1b");
  EXPECT_EQ(line.at("status"), 200);
  EXPECT_TRUE(
      std::regex_match(line.at("time").get<std::string>(), std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)")));
  std::filesystem::rename(path, folder / "old");
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!std::filesystem::exists(path) && std::chrono::steady_clock::now() < until) log.write({{"id", "b"}});
  EXPECT_NE(read_file(path).find("\"b\""), std::string::npos);
  EXPECT_ERROR(AccessLog(folder / "none" / "a"), "cannot open");
}

}  // namespace
}  // namespace loraxs
