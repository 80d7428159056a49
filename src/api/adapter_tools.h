// api/adapter_tools.h: adapters combined, merged into their base and written in other formats.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "api/adapters.h"
#include "api/opened_adapter.h"

namespace loraxs {

struct WrittenSum {
  CombinedAdapters sum;
  std::string written;  // `out`, in a store with its version
};

/// Throws Error where combine_files cannot write: a file that exists, a reference with a version.
void refuse_sum_at(const std::filesystem::path& out);

/// Writes the sum "0.7*a.safetensors + 0.3*b.safetensors" to `out`, a file or URL#tenant/name, and returns its bank of
/// one with what it was made of. `head` is auto, none or the name of the adapter whose head is kept. Throws Error as
/// refuse_sum_at, and when the adapters are on different bases.
WrittenSum combine_files(const BaseModel& model, const std::string& expression, const std::string& head,
                         const std::filesystem::path& out, const Settings& settings);

/// How far what was written is from base and adapter, on sequences of random ids: largest change of a logit (of a
/// hidden state, where an encoder has no head), relative to the largest.
struct OutputCheck {
  double difference = 0;  // written against adapted: rounding
  double effect = 0;      // base against adapted: what the adapter does
};

struct MergeCheck {
  std::string base_id;  // of the merged weights
  OutputCheck outputs;
  std::vector<std::string> left_out;  // of the base's folder: the weights in other programs' forms, see model_files.h
};

/// Writes the base with the adapter merged in: a Hugging Face folder from a folder, a GGUF file from a GGUF file.
/// `dtype`: empty = every tensor keeps its own; float32, float16, bfloat16, and for GGUF q8_0. Throws Error when `out`
/// exists or lies in the base's folder, and for a GGUF base in quantised blocks without a dtype.
MergeCheck merge_to(const OpenedAdapter& opened, const std::filesystem::path& out, const std::string& dtype);

/// Formats: peft and reference (folders), gguf and loraxs (files). Throws Error when `out` exists, the format is
/// unknown or cannot hold the adapter.
void export_adapter(const OpenedAdapter& opened, const std::string& format, const std::filesystem::path& out);

/// What another row in the adapter's place changes.
OutputCheck check_row(const OpenedAdapter& opened, const std::vector<float>& row);

/// Writes the adapter's own format with its row rounded to `dtype`, bfloat16 or float16 (float32: as it is), and says
/// what that changes.
OutputCheck export_rounded(const OpenedAdapter& opened, const std::string& dtype, const std::filesystem::path& out);

/// Sequences of random ids of one slot, for comparing two forms of one model; of decoders every token is asked.
PackedBatch probe_batch(const BaseModel& model, int64_t slot);

/// max |x − reference| / max |reference|.
double largest_change(const torch::Tensor& x, const torch::Tensor& reference);

}  // namespace loraxs
