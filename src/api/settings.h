// api/settings.h: the surroundings of a call: where bases are kept, who hears of progress, which precision is meant.
#pragma once
#include <torch/types.h>

#include <filesystem>
#include <string>

#include "io/log.h"
#include "model/config_keys.h"

namespace loraxs {

/// $XDG_CACHE_HOME/loraxs, else ~/.cache/loraxs. Without HOME a folder of the temporary folder that this user alone may
/// enter (mode 0700); it is made here, and whatever else stands under its name is an Error: what others can write would
/// be read as ours.
std::filesystem::path default_cache_folder();

struct Settings {
  std::filesystem::path cache = default_cache_folder();  // bases and base ids; they are computed again if it is lost
  LogSink log;                                           // progress and warnings; empty = dropped
  ReadingOptions reading;                                // of the models that are opened
};

/// "float32", "bfloat16", "float16" or "float64": the name that recipes and options have for it.
const char* precision_name(torch::ScalarType dtype);

/// auto is bfloat16 where the CPU multiplies it fast (AVX-512 BF16 or AMX), else float32. `reason` says why.
torch::ScalarType resolve_precision(const std::string& precision, std::string* reason = nullptr);

}  // namespace loraxs
