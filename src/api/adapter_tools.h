// api/adapter_tools.h: adapters combined, merged into their base and written in other formats.
#pragma once
#include <filesystem>
#include <string>

#include "adapt/combine.h"
#include "api/opened_adapter.h"

namespace loraxs {

/// Writes the sum "0.7*a.safetensors + 0.3*b.safetensors" to `out` and returns its bank of one. `head` is auto, none or
/// the name of the adapter whose head is kept. Throws Error when the adapters are on different bases.
Bank combine_files(const BaseModel& model, const std::string& expression, const std::string& head,
                   const std::filesystem::path& out, const Settings& settings);

/// How far a merged model is from base and adapter, on sequences of random ids: largest change of an output, relative.
struct MergeCheck {
  std::string base_id;    // of the merged weights
  double difference = 0;  // merged against adapted: rounding
  double effect = 0;      // base against adapted: what the adapter does
};

/// Writes the base with the adapter merged in as a Hugging Face folder. Throws Error when `out` exists.
MergeCheck merge_to_folder(const OpenedAdapter& opened, const std::filesystem::path& out);

/// Formats: peft (a folder) and loraxs (a file). Throws Error when `out` exists or the format is unknown.
void export_adapter(const OpenedAdapter& opened, const std::string& format, const std::filesystem::path& out);

/// Throws Error when something is there already; `option` is named in the hint.
void refuse_existing(const std::filesystem::path& path, const std::string& option);

/// max |x − reference| / max |reference|.
double largest_change(const torch::Tensor& x, const torch::Tensor& reference);

}  // namespace loraxs
