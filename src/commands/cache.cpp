#include "cli/subcommands/cache.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "commands/session.h"
#include "io/error.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/text_file.h"
#include "io/unfinished.h"

namespace loraxs {
namespace {

constexpr const char* kBaseId = "base id";

/// A file of ours in the cache folder.
struct CacheEntry {
  std::filesystem::path path;
  int64_t bytes = 0;
  std::string kind;     // "basis" | kBaseId
  std::string base_id;  // empty: the file does not tell
  std::string what;     // for people
};

/// "basis-0123456789abcdef.safetensors": the names that we write (adapt/basis_file.cpp, model/base_model.cpp).
bool has_name(const std::string& name, const std::string& begin, size_t digits, const std::string& end) {
  if (name.size() != begin.size() + digits + end.size() || !name.starts_with(begin) || !name.ends_with(end))
    return false;
  const std::string middle = name.substr(begin.size(), digits);
  return middle.find_first_not_of("0123456789abcdef") == std::string::npos;
}

void describe(CacheEntry& entry) {
  try {
    if (entry.kind == kBaseId) {
      entry.base_id = read_text_file(entry.path);
      entry.what = "digest of a base model's weights: saves hashing them";
      return;
    }
    const Safetensors file = read_safetensors(entry.path);
    entry.base_id = file.metadata_at("base_id");
    entry.what = concat(file.metadata_at("vectors"), " vectors of ", file.metadata_at("variant"), ", rank ",
                        file.metadata_at("rank"), ", ", file.tensors.size() / 2, " sites");
  } catch (const Error& error) {
    entry.what = concat("damaged, would be made anew: ", error.what());
  }
}

/// Our files in the folder, by name: no links, and nothing under other names.
std::vector<CacheEntry> cache_entries(const std::filesystem::path& folder) {
  std::vector<CacheEntry> entries;
  std::error_code code;
  for (std::filesystem::directory_iterator entry(folder, code), end; entry != end; entry.increment(code)) {
    const std::string name = entry->path().filename().string();
    const bool basis = has_name(name, "basis-", 16, ".safetensors"), base = has_name(name, "base-", 32, ".id");
    std::error_code ignored;
    if ((!basis && !base) || entry->symlink_status(ignored).type() != std::filesystem::file_type::regular) continue;
    entries.push_back({.path = entry->path(),
                       .bytes = static_cast<int64_t>(entry->file_size(ignored)),
                       .kind = basis ? "basis" : kBaseId});
  }
  std::sort(entries.begin(), entries.end(), [](const auto& x, const auto& y) { return x.path < y.path; });
  return entries;
}

int64_t total_bytes(const std::vector<CacheEntry>& entries) {
  int64_t bytes = 0;
  for (const CacheEntry& entry : entries) bytes += entry.bytes;
  return bytes;
}

void list_cache(const std::filesystem::path& folder, std::vector<CacheEntry> entries, bool json) {
  if (!json) std::cout << "| file | size | base | what |\n| --- | --- | --- | --- |\n";
  int64_t ids = 0, id_bytes = 0;  // one for every state of every model's files: people need no row of each
  for (CacheEntry& entry : entries) {
    if (!json && entry.kind == kBaseId) {
      ++ids;
      id_bytes += entry.bytes;
      continue;
    }
    describe(entry);
    const std::string name = entry.path.filename().string(), base = shortened(entry.base_id, 16);
    if (json) {
      std::cout << json_text(nlohmann::ordered_json{{"path", entry.path.string()},
                                                    {"bytes", entry.bytes},
                                                    {"kind", entry.kind},
                                                    {"base_id", entry.base_id},
                                                    {"what", entry.what}})
                << '\n';
    } else {
      std::cout << "| " << name << " | " << human_bytes(entry.bytes) << " | " << base << " | " << printable(entry.what)
                << " |\n";
    }
  }
  if (!json) {
    if (ids > 0) {
      std::cout << "| base-….id, " << ids << (ids == 1 ? " file" : " files") << " | " << human_bytes(id_bytes)
                << " | | digests of base models' weights: they save hashing them |\n";
    }
    std::cout << printable(folder.string()) << ": " << entries.size() << " files, " << human_bytes(total_bytes(entries))
              << "; whatever is cleared is computed again when it is needed\n";
  }
}

void clear_cache(const std::filesystem::path& folder, const std::vector<CacheEntry>& entries, bool json) {
  remove_unfinished(folder);
  for (const CacheEntry& entry : entries) {
    std::error_code code;
    std::filesystem::remove(entry.path, code);
    if (code) throw Error(concat(entry.path.string(), ": cannot be removed: ", code.message()));
  }
  if (json) {
    std::cout << nlohmann::ordered_json{{"removed", entries.size()}, {"bytes", total_bytes(entries)}}.dump() << '\n';
  } else {
    std::cout << printable(folder.string()) << ": " << entries.size() << " files removed, "
              << human_bytes(total_bytes(entries)) << "; other names stay\n";
  }
}

}  // namespace

int run(const CacheOptions& options, const CommonOptions& common) {
  const std::filesystem::path folder = settings_of(common).cache;
  const std::vector<CacheEntry> entries = cache_entries(folder);
  if (options.action == "clear") {
    clear_cache(folder, entries, common.json);
  } else {
    list_cache(folder, entries, common.json);
  }
  return 0;
}

}  // namespace loraxs
