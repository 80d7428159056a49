#include "train/checkpoint_folder.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/safetensors.h"
#include "io/sha256.h"
#include "io/system_error.h"

namespace loraxs {
namespace {

constexpr std::array<const char*, 3> kCheckpointFiles = {"digest", "state.json", "rows.safetensors"};

/// Folders checkpoints/step-N, newest first. A link is none of ours.
std::vector<std::pair<int64_t, std::filesystem::path>> list_checkpoints(const std::filesystem::path& run) {
  std::vector<std::pair<int64_t, std::filesystem::path>> found;
  const std::filesystem::path folder = run / "checkpoints";
  std::error_code code;
  if (std::filesystem::symlink_status(folder, code).type() != std::filesystem::file_type::directory) return found;
  for (std::filesystem::directory_iterator entry(folder, code), end; entry != end; entry.increment(code)) {
    const std::string name = entry->path().filename().string();
    int64_t step = 0;
    const std::string prefix = "step-";
    if (!name.starts_with(prefix)) continue;
    const auto [last, error] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), step);
    if (error != std::errc() || last != name.data() + name.size()) continue;
    std::error_code ignored;
    if (entry->symlink_status(ignored).type() != std::filesystem::file_type::directory) continue;
    found.emplace_back(step, entry->path());
  }
  if (code) fail_to("read", folder, code.value());  // not the same as nothing there: the run would start anew
  std::sort(found.rbegin(), found.rend());
  return found;
}

std::string folder_digest(const std::filesystem::path& folder) {
  return sha256_hex(sha256_of_file(folder / "rows.safetensors") + sha256_of_file(folder / "state.json"));
}

/// False when a file is missing or its bytes are others. Throws Error when one is there and cannot be read.
bool complete(const std::filesystem::path& folder) {
  for (const char* name : kCheckpointFiles) {
    std::error_code ignored;
    if (!std::filesystem::exists(folder / name, ignored) && !ignored) return false;
  }
  return MappedFile::open(folder / "digest")->text() == folder_digest(folder);
}

/// Takes away our files, the digest first: what is left is no checkpoint. The folder goes if nothing else is in it.
void remove_checkpoint(const std::filesystem::path& folder) {
  std::error_code ignored;
  for (const char* name : kCheckpointFiles) ::unlink((folder / name).c_str());
  std::filesystem::remove(folder, ignored);
}

}  // namespace

int64_t newest_checkpoint_step(const std::filesystem::path& run) {
  const auto found = list_checkpoints(run);
  return found.empty() ? 0 : found.front().first;
}

bool has_checkpoint(const std::filesystem::path& run) {
  const auto all = list_checkpoints(run);
  return std::any_of(all.begin(), all.end(), [](const auto& checkpoint) {
    const std::filesystem::path state = checkpoint.second / "state.json";
    std::error_code ignored;
    return std::filesystem::is_regular_file(state, ignored) &&
           MappedFile::open(state)->text().find("\"loraxs-checkpoint-") != std::string_view::npos;
  });
}

void write_checkpoint_folder(const std::filesystem::path& run, int64_t step, const char* format, nlohmann::json state,
                             const CheckpointTensors& tensors, const RunIdentity& identity) {
  state.update({{"format", format}, {"content", identity.content}, {"numerics", identity.numerics}});
  make_folder(run / "checkpoints");
  const auto fill = [&](const std::filesystem::path& folder) {
    std::map<std::string, TensorBytes> rows;
    for (const auto& [name, tensor] : tensors) {
      TORCH_CHECK(tensor.is_contiguous() && tensor.device().is_cpu(), "checkpoint: ", name);
      rows[name] = {.dtype = tensor.scalar_type() == torch::kFloat64 ? Dtype::kFloat64 : Dtype::kFloat32,
                    .shape = tensor.sizes().vec(),
                    .bytes = std::span(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes())};
    }
    write_safetensors(folder / "rows.safetensors", rows, {{"format", format}});
    write_file_atomically(folder / "state.json", state.dump(1) + "\n");
    write_file_atomically(folder / "digest", folder_digest(folder));
  };
  write_folder_atomically(run / "checkpoints" / concat("step-", step), fill, Existing::kReplaced);
  bool kept = false;  // one before this, in case this one gets damaged
  for (const auto& [other, folder] : list_checkpoints(run)) {
    if (other == step) continue;
    if (other < step && !kept) {  // what this run wrote or went on from: whole
      kept = true;
    } else {  // a later one is damaged: else the run would have gone on from it
      remove_checkpoint(folder);
    }
  }
}

bool read_newest_checkpoint_folder(const std::filesystem::path& run, const std::vector<std::string>& formats,
                                   const RunIdentity& identity, bool allow_drift, const ReadCheckpoint& read) {
  for (const auto& [step, folder] : list_checkpoints(run)) {
    if (!complete(folder)) continue;
    const std::string where = (folder / "state.json").string();
    const nlohmann::json json = read_json(where);
    Fields fields(json, where);
    fields.ignore_unknown();
    const std::string format = fields.text("format", "");
    if (std::find(formats.begin(), formats.end(), format) == formats.end()) {
      throw Error(concat(where, ": format: expected ", formats.front(), ", found ", format));
    }
    if (fields.text("content", "") != identity.content) {
      throw Error(concat(folder.string(),
                         ": expected a checkpoint of this recipe, model and data, found one of another; "
                         "resume with the recipe it was started with, or choose another output"));
    }
    const std::string numerics = fields.text("numerics", "");
    if (numerics != identity.numerics && !allow_drift) {
      throw Error(concat(folder.string(), ": expected numerics \"", identity.numerics, "\", found \"", numerics,
                         "\"; the same bits will not come back here: resume with --allow-drift to accept that"));
    }
    try {
      read(json, folder / "rows.safetensors", where);
      return true;
    } catch (const nlohmann::json::exception& error) {
      throw Error(concat(where, ": expected the state of a run, found other fields: ", error.what()));
    }
  }
  return false;
}

}  // namespace loraxs
