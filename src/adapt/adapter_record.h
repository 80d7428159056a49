// adapt/adapter_record.h: an adapter as texts and a row, whatever keeps them: what it shares with others of its kind,
// and what it has for itself.
#pragma once
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "adapt/adapter_file.h"

namespace loraxs {

/// The metadata of its file, without format, row_dtype and digest.
std::map<std::string, std::string> adapter_metadata(const AdapterFile& adapter);
/// The adapter of such metadata. Throws Error, which `path` starts, for a text that is none and a row with numbers that
/// are not finite.
AdapterFile adapter_of(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       std::vector<float> row);

/// What row `row` of `bank` is as an adapter.
AdapterFile adapter_of(const Bank& bank, int64_t row, const BaseModel& model, const Basis& basis,
                       const AdapterProvenance& provenance);

/// What the adapters of one training share (docs/formats.md, kind): base, basis, method, layout, alpha, tokenizer.
nlohmann::json kind_of(const AdapterFile& adapter);
/// What is its own: labels, max_length, where it came from.
nlohmann::json entry_of(const AdapterFile& adapter);
/// The adapter of both; the same metadata, byte by byte, as those that kind_of and entry_of were given. Throws Error.
AdapterFile adapter_of(const std::filesystem::path& path, const nlohmann::json& kind, const nlohmann::json& entry,
                       std::vector<float> row);

/// Writes it as a file: the bytes of the one it was read from, where that is of the newest format and float32.
void write_adapter(const std::filesystem::path& path, const AdapterFile& adapter,
                   Existing existing = Existing::kRefused);

}  // namespace loraxs
