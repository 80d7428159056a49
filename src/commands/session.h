// commands/session.h: what several commands need beside api: their options as api reads them, and text for people.
#pragma once
#include <cstdint>
#include <string>

#include "api/answers.h"
#include "api/opened_adapter.h"
#include "api/settings.h"
#include "api/text_model.h"
#include "cli/options.h"
#include "io/log.h"

namespace loraxs {

LogSink stderr_log(const CommonOptions& common);
/// Computes with so many threads; a hint on stderr, with `what` asked for them, where fewer cores may be used.
void use_threads(int64_t threads, const std::string& what, const CommonOptions& common);
Settings settings_of(const CommonOptions& common);  // progress and warnings go to stderr

/// What generate and chat were asked for, checked.
SamplingOptions sampling_of(const DecodingOptions& options);
BeamOptions beams_of(const SearchOptions& options);
TextModelOptions text_model_of(const DecodingOptions& options, bool prefers_int8 = false);
OpenOptions open_options_of(const AdapterOptions& options);

/// The adapter that the options name, on its model.
OpenedAdapter open_adapter_of(const AdapterOptions& options, const CommonOptions& common);

/// "24.6 KB", in powers of 1000.
std::string human_bytes(int64_t bytes);

}  // namespace loraxs
