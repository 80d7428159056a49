#include "cli/subcommands/serve.h"

#include <signal.h>

#include <chrono>
#include <functional>
#include <future>
#include <iostream>
#include <random>

#include "commands/progress.h"
#include "commands/session.h"
#include "io/error.h"
#include "io/json.h"
#include "serve/access_log.h"
#include "serve/api/routes.h"
#include "serve/engine.h"
#include "serve/http/server.h"
#include "serve/key_gate.h"
#include "serve/metrics.h"

namespace loraxs {
namespace {

EngineOptions engine_of(const ServeOptions& options) {
  constexpr int kMegabyte = 20;
  DecodingOptions text{.adapter = options.model, .context = options.context, .memory_gb = options.memory_gb};
  EngineOptions engine{.model = text_model_of(text, /*prefers_int8=*/true)};
  engine.shelf = {.store = options.store,
                  .rooms = {.basis_file = options.model.basis,
                            .accept_base = options.model.accept_base,
                            .max_rank = options.max_rank,
                            .resident_rows = options.resident_rows,
                            .resident_bytes = options.resident_mb << kMegabyte,
                            .device = engine.model.device}};
  engine.sequences = options.sequences;
  engine.max_waiting = options.max_waiting;
  engine.gap_ms = options.gap_ms;
  engine.shares_by_tenant = options.share == "tenants";
  return engine;
}

/// One short request as the base: whether everything that an answer needs works.
void check_engine(Answering& engine, const CommonOptions& common) {
  const Caller caller{.sees_all = true};
  const std::vector<int32_t> ids = engine.encode_text("Hello", /*add_special=*/true);
  std::promise<std::string> told;
  const ServedModelPtr base = engine.find(caller, "base");
  const auto start = std::chrono::steady_clock::now();
  if (engine.generates()) {
    engine.answer({.name = "check",
                   .caller = caller,
                   .model = base,
                   .prompt = ids,
                   .max_new_tokens = 1,
                   .on_piece = [](const AnswerPiece&) {},
                   .on_end = [&](const AnswerEnd& end) { told.set_value(end.problem ? end.problem->what() : ""); }});
  } else {
    engine.encode(
        {.name = "check",
         .caller = caller,
         .model = base,
         .inputs = {ids},
         .embed = true,
         .on_done = [&](const auto&, const auto& problem) { told.set_value(problem ? problem->what() : ""); }});
  }
  if (const std::string error = told.get_future().get(); !error.empty()) throw Error(error);
  const double milliseconds =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  constexpr int64_t kPage = 1000;
  size_t models = 0;
  std::string after;
  for (size_t count = kPage; count >= kPage;) {
    const std::vector<ModelInfo> page = engine.list(caller, after, kPage);
    count = page.size();
    models += count;
    if (count > 0) after = page.back().id;
  }
  const EngineState state = engine.state();
  const nlohmann::ordered_json line = {{"model", state.model},
                                       {"precision", state.precision},
                                       {"adapters", models - 1},
                                       {"resident_rows", state.resident_capacity},
                                       {"first_token_ms", milliseconds}};
  if (common.json) {
    std::cout << json_text(line) << '\n';
    return;
  }
  for (const auto& [key, value] : line.items()) std::cout << key << ": " << json_text(value) << '\n';
}

/// SIGINT, SIGTERM and SIGHUP, from construction on held back for wait(): threads started meanwhile never see them.
class EndSignals {
 public:
  EndSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~EndSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  EndSignals(const EndSignals&) = delete;
  EndSignals& operator=(const EndSignals&) = delete;

  /// Until one comes that ends, and the next one ends the program; SIGHUP reads again.
  void wait(const std::function<void()>& reload) {
    int signal = 0;
    while (sigwait(&set_, &signal) == 0 && signal == SIGHUP) reload();
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t set_{}, before_{};
};

bool is_loopback(const std::string& host) { return host == "localhost" || host == "::1" || host.starts_with("127."); }

std::string random_name() {
  static constexpr std::string_view kLetters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  constexpr size_t kLength = 24;
  thread_local std::mt19937_64 generator(std::random_device{}());
  std::string name(kLength, ' ');
  for (char& letter : name) letter = kLetters[generator() % kLetters.size()];
  return name;
}

/// What the API says of a call goes into the access log and the metrics.
void note_call(Metrics& metrics, AccessLog* access, nlohmann::ordered_json line) {
  const auto number = [&](const char* key) {
    return line.contains(key) && line[key].is_number() ? line[key].get<double>() : 0;
  };
  const auto count = [&](const char* key) { return static_cast<int64_t>(number(key)); };
  constexpr double kMilliseconds = 1e-3;
  if (number("first_token_ms") > 0) metrics.first_token(number("first_token_ms") * kMilliseconds);
  metrics.used(line.value("tenant", ""), count("prompt_tokens"), count("cached_tokens"), count("answer_tokens"));
  if (access != nullptr) access->write(line);
}

}  // namespace

int run(const ServeOptions& options, const CommonOptions& common) {
  if (!is_loopback(options.host) && options.keys.empty() && !options.no_auth && !options.check) {
    throw Error(concat("--host ", options.host,
                       ": expected --keys FILE, so that not everybody who reaches this machine may ask; --no-auth if "
                       "that is meant"));
  }
  EndSignals signals;
  const Settings settings = settings_of(common);
  Progress progress(settings.log);
  progress.begin("loading");
  std::unique_ptr<Gate> gate = std::make_unique<OpenGate>();
  if (!options.keys.empty()) gate = std::make_unique<KeyGate>(options.keys, KeyGateOptions{.log = settings.log});
  std::unique_ptr<AccessLog> access;
  if (!options.access_log.empty()) access = std::make_unique<AccessLog>(options.access_log, settings.log);

  // Metrics ask the engine and tell of it: it is there before the first scrape.
  std::unique_ptr<Metrics> metrics;  // ends last
  std::unique_ptr<Answering> engine;
  std::unique_ptr<HttpServer> server;
  metrics = std::make_unique<Metrics>([&] { return engine->state(); },
                                      [&] { return server ? server->state() : HttpServerState{}; });
  EngineOptions engine_options = engine_of(options);
  engine_options.on_step = [&](int64_t sequences) { metrics->batch(sequences); };
  engine_options.on_gap = [&](double seconds) { metrics->gap(seconds); };
  engine = start_engine(engine_options, settings);
  if (options.check) {
    check_engine(*engine, common);
    return 0;
  }
  RoutesOptions routes{
      .metrics = [&] { return metrics->text(); },
      .now =
          [] {
            return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
                .count();
          },
      .unique = random_name,
      .log = [&](nlohmann::ordered_json line) { note_call(*metrics, access.get(), std::move(line)); }};
  server =
      std::make_unique<HttpServer>(HttpServerOptions{.address = options.host,
                                                     .port = static_cast<uint16_t>(options.port),
                                                     .tls_certificate = options.tls_certificate,
                                                     .tls_key = options.tls_key,
                                                     .trusted_proxies = options.trusted_proxies,
                                                     .log = settings.log,
                                                     .answered =
                                                         [&](const HttpRecord& record) {
                                                           metrics->answered(record);
                                                           // The API tells of the calls that reached it.
                                                           if (access && (record.path.empty() || record.status == 0))
                                                             access->write(access_line(record));
                                                         }},
                                   make_routes(*engine, *gate, std::move(routes)));
  const EngineState state = engine->state();
  const char* scheme = options.tls_key.empty() ? "http" : "https";
  for (const std::string& address : server->addresses()) {
    std::cerr << concat("listening=", scheme, "://", address, " model=", state.model, " precision=", state.precision,
                        "\n");
  }
  signals.wait([&] {
    try {
      server->reload_tls();
      if (!settings.log) return;
      settings.log(LogLevel::kInfo,
                   options.tls_key.empty() ? "SIGHUP: there are no TLS files to read again" : "read again: TLS files");
    } catch (const Error& error) {
      if (settings.log) settings.log(LogLevel::kWarning, concat(error.what(), "; what was in use stays"));
    }
  });
  if (settings.log) settings.log(LogLevel::kInfo, "draining");
  server->drain(static_cast<double>(options.drain_seconds));
  return 0;  // the server goes before the engine, whose last words nobody hears
}

}  // namespace loraxs
