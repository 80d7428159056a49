#include "commands/session.h"

#include <ATen/Parallel.h>

#include <array>
#include <iostream>
#include <string_view>

#include "commands/progress.h"
#include "io/error.h"
#include "ops/device.h"

namespace loraxs {

LogSink stderr_log(const CommonOptions& common) {
  if (common.quiet) return {};
  return [](LogLevel level, const std::string& line) {  // one write a line: Progress has a thread of its own
    Progress::heard();
    std::cerr << (level == LogLevel::kWarning ? "loraxs: warning: " + safe_message(line) : printable(line)) + "\n";
  };
}

void use_threads(int64_t threads, const std::string& what, const CommonOptions& common) {
  at::set_num_threads(static_cast<int>(threads));
  if (threads <= common.cores.allowed() || common.quiet) return;
  std::cerr << "loraxs: " << what << ' ' << threads << ": more than the " << common.cores.allowed()
            << " cores that this process may use; threads will wait for each other\n";
}

Settings settings_of(const CommonOptions& common) {
  return {.cache = common.cache.empty() ? default_cache_folder() : std::filesystem::path(common.cache),
          .log = stderr_log(common),
          .reading = {.accepted_keys = common.accept_config, .pre_tokenizer = common.pre_tokenizer}};
}

SamplingOptions sampling_of(const DecodingOptions& options) {
  const SamplingOptions sampling{.repetition_penalty = options.repetition_penalty,
                                 .temperature = options.temperature,
                                 .top_k = options.top_k,
                                 .top_p = options.top_p,
                                 .min_p = options.min_p,
                                 .seed = options.seed};
  sampling.check("command line");
  if (options.max_new_tokens < 1)
    throw Error(concat("--max-new-tokens: expected at least 1, found ", options.max_new_tokens));
  for (const std::string& stop : options.stop) {
    if (stop.empty()) throw Error("--stop: expected a text, found an empty one");
  }
  return sampling;
}

BeamOptions beams_of(const SearchOptions& options) {
  const auto early_stopping = options.early_stopping == "true"    ? EarlyStopping::kWhenFull
                              : options.early_stopping == "never" ? EarlyStopping::kNever
                                                                  : EarlyStopping::kWhenWorse;
  return {.beams = options.beams, .length_penalty = options.length_penalty, .early_stopping = early_stopping};
}

TextModelOptions text_model_of(const DecodingOptions& options, bool prefers_int8) {
  return {.model = options.adapter.model,
          .precision = options.adapter.precision,
          .prefers_int8 = prefers_int8,
          .memory = weight_memory(options.adapter.memory),
          .device = find_device(options.adapter.device, "--device"),
          .context = options.context,
          .memory_gb = options.memory_gb};
}

OpenOptions open_options_of(const AdapterOptions& options) {
  return {.basis_file = options.basis,
          .accept_base = options.accept_base,
          .memory = weight_memory(options.memory),
          .device = find_device(options.device, "--device")};
}

OpenedAdapter open_adapter_of(const AdapterOptions& options, const CommonOptions& common) {
  const Settings settings = settings_of(common);
  Progress progress(settings.log);
  progress.begin("loading");
  return open_adapter_on_model(open_model(options.model, settings), options.adapter, open_options_of(options),
                               settings);
}

std::string human_bytes(int64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

}  // namespace loraxs
