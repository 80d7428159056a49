// adapt/adapter_file.h: one adapter on disk: its row and a small header. A and B are never in it.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapt/adapter_set.h"
#include "adapt/basis.h"
#include "io/atomic_file.h"
#include "model/base_model.h"

namespace loraxs {

/// Where an adapter came from: read by people and by `eval`.
struct AdapterProvenance {
  std::string task;              // "qnli"
  std::string tokenizer_digest;  // SHA-256
  int64_t max_length = 0;        // tokens a text was cut to in training
  std::string precision;         // "float32"
  std::string gemm_record;       // backend table it was trained with
  std::string summary;           // JSON: steps, best epoch, metric, value, seed
};

/// An adapter as read from its file, checked against its digest.
struct AdapterFile {
  std::filesystem::path path;
  std::string base_id;
  std::string method;    // as in the layout
  std::string basis_id;  // empty where the method reads no basis; then the next two say nothing
  BasisRecipe basis;
  std::vector<double> fingerprint;
  double alpha = 16;
  std::string layout_json;          // resolved on a model by open_adapter
  std::vector<std::string> labels;  // classes of its head, as the layout says; empty for a regression
  AdapterProvenance provenance;
  std::vector<float> row;
  std::string row_digest;  // SHA-256 of the row's bytes
};

/// Writes row `row` of `bank`, atomically: the row's bytes, some 1.5 KB of header and what the layout takes (labels,
/// and the sites by name where ranks differ).
/// With float16 or bfloat16 the row is rounded to it. Throws Error for a number that float16 cannot hold.
void write_adapter(const std::filesystem::path& path, const Bank& bank, int64_t row, const BaseModel& model,
                   const Basis& basis, const AdapterProvenance& provenance, Existing existing = Existing::kRefused,
                   torch::ScalarType dtype = torch::kFloat32);

/// Reads and checks the file by itself: format, digest, finite numbers. Throws Error.
AdapterFile read_adapter(const std::filesystem::path& path);

/// The file's layout on this model. Throws Error when the base differs (`accept_base` passes that on to the
/// fingerprint) or the row's length is not the layout's.
Layout resolve_layout(const AdapterFile& file, const BaseModel& model, bool accept_base = false);

/// A bank of one from the file. Throws Error when `basis` is another one than the method reads and the fingerprint does
/// not match to 1e-4.
Bank open_adapter(const AdapterFile& file, const Layout& layout, const Basis& basis);

/// Whether the file's method reads a basis.
bool reads_basis(const AdapterFile& file);

/// Ranks per site, as basis_fingerprint wants them.
std::map<std::string, int64_t> site_ranks(const Layout& layout);

}  // namespace loraxs
