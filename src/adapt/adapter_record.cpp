#include "adapt/adapter_record.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "adapt/adapter_header.h"
#include "adapt/method.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/json.h"
#include "io/sha256.h"

namespace loraxs {
namespace {

std::string fingerprint_text(const std::vector<double>& fingerprint) {
  std::string text;
  for (const double value : fingerprint) {
    char number[32];
    std::snprintf(number, sizeof number, "%.7g", value);
    text += (text.empty() ? "" : " ") + std::string(number);
  }
  return text;
}

}  // namespace

std::map<std::string, std::string> adapter_metadata(const AdapterFile& adapter) {
  const bool on_basis = reads_basis(adapter);
  std::map<std::string, std::string> metadata = {{"base_id", adapter.base_id},
                                                 {"basis_id", on_basis ? adapter.basis_id : ""},
                                                 {"basis", on_basis ? basis_recipe_to_json(adapter.basis).dump() : ""},
                                                 {"fingerprint", on_basis ? fingerprint_text(adapter.fingerprint) : ""},
                                                 {"alpha", nlohmann::json(adapter.alpha).dump()},
                                                 {"layout", adapter.layout_json},
                                                 {"task", adapter.provenance.task},
                                                 {"tokenizer", adapter.provenance.tokenizer_digest},
                                                 {"max_length", std::to_string(adapter.provenance.max_length)},
                                                 {"precision", adapter.provenance.precision},
                                                 {"gemm", adapter.provenance.gemm_record},
                                                 {"training", adapter.provenance.summary}};
  std::erase_if(metadata, [](const auto& entry) { return entry.second.empty(); });
  return metadata;
}

AdapterFile adapter_of(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       std::vector<float> row) {
  const std::string where = path.string();
  const Safetensors file{.metadata = metadata, .path = path};
  const AdapterHeader header = read_adapter_header(
      file, [&](const std::string& method) { return find_method(method, where).traits.reads_basis; });
  const auto optional = [&](const char* key) {
    const auto entry = metadata.find(key);
    return entry == metadata.end() ? std::string() : entry->second;
  };
  for (size_t i = 0; i < row.size(); ++i) {
    if (!std::isfinite(row[i])) throw Error(concat(where, ": row: expected finite numbers, found ", row[i], " at ", i));
  }
  AdapterFile adapter{.path = path,
                      .base_id = file.metadata_at("base_id"),
                      .method = header.method,
                      .basis_id = header.basis_id,
                      .basis = header.basis,
                      .fingerprint = header.fingerprint,
                      .alpha = header.alpha,
                      .layout_json = header.layout_json,
                      .labels = header.labels,
                      .provenance = {.task = optional("task"),
                                     .tokenizer_digest = optional("tokenizer"),
                                     .max_length = file.metadata_count("max_length", 0),
                                     .precision = optional("precision"),
                                     .gemm_record = optional("gemm"),
                                     .summary = optional("training")},
                      .row = std::move(row)};
  adapter.row_digest = sha256_hex(std::as_bytes(std::span(adapter.row)));
  return adapter;
}

nlohmann::json kind_of(const AdapterFile& adapter) {
  nlohmann::json layout = parse_json(adapter.layout_json, adapter.path.string() + ": layout");
  layout.erase("labels");
  nlohmann::json kind = {{"format", "loraxs-kind-1"},
                         {"base_id", adapter.base_id},
                         {"alpha", adapter.alpha},
                         {"layout", std::move(layout)}};
  if (!adapter.provenance.tokenizer_digest.empty()) kind["tokenizer"] = adapter.provenance.tokenizer_digest;
  if (!reads_basis(adapter)) return kind;
  kind["basis"] = basis_recipe_to_json(adapter.basis);
  kind["basis_id"] = adapter.basis_id;
  kind["fingerprint"] = fingerprint_text(adapter.fingerprint);
  return kind;
}

nlohmann::json entry_of(const AdapterFile& adapter) {
  const AdapterProvenance& provenance = adapter.provenance;
  const nlohmann::json layout = parse_json(adapter.layout_json, adapter.path.string() + ": layout");
  nlohmann::json entry = {{"max_length", provenance.max_length}};
  if (const auto labels = layout.find("labels"); labels != layout.end()) entry["labels"] = *labels;
  const std::pair<const char*, const std::string&> texts[] = {
      {"task", provenance.task}, {"precision", provenance.precision}, {"gemm", provenance.gemm_record}};
  for (const auto& [key, text] : texts) {
    if (!text.empty()) entry[key] = text;
  }
  if (provenance.summary.empty()) return entry;
  // As JSON where it reads back as the same text.
  nlohmann::json training = json_or_null(provenance.summary);
  const bool exact = training.is_object() && json_text(training) == provenance.summary;
  entry["training"] = exact ? std::move(training) : nlohmann::json(provenance.summary);
  return entry;
}

AdapterFile adapter_of(const std::filesystem::path& path, const nlohmann::json& kind, const nlohmann::json& entry,
                       std::vector<float> row) {
  const std::string where = path.string();
  Fields shared(kind, where, "kind"), own(entry, where, "entry");
  std::map<std::string, std::string> metadata;
  const auto keep = [&](Fields& fields, const char* key) {
    if (std::string text = fields.text(key, ""); !text.empty()) metadata[key] = std::move(text);
  };
  shared.text("format", "");
  for (const char* key : {"base_id", "basis_id", "fingerprint", "tokenizer"}) keep(shared, key);
  for (const char* key : {"task", "precision", "gemm"}) keep(own, key);
  nlohmann::json layout = shared.raw("layout");
  if (!layout.is_object()) shared.fail("layout", "expected an object");
  if (nlohmann::json labels = own.raw("labels"); !labels.is_null()) layout["labels"] = std::move(labels);
  metadata["layout"] = json_text(layout);
  metadata["alpha"] = json_text(shared.raw("alpha"));
  if (const nlohmann::json basis = shared.raw("basis"); !basis.is_null()) metadata["basis"] = json_text(basis);
  metadata["max_length"] = std::to_string(own.non_negative_int("max_length", 0));
  if (const nlohmann::json training = own.raw("training"); !training.is_null()) {
    metadata["training"] = training.is_string() ? training.get<std::string>() : json_text(training);
  }
  shared.finish();
  own.finish();
  return adapter_of(path, metadata, std::move(row));
}

}  // namespace loraxs
