#include "adapt/model_files.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "io/error.h"

namespace loraxs {
namespace {

namespace fs = std::filesystem;

/// What a name at the top of a model folder says: written anew by a merge, or another form of the weights.
enum class Meaning { kKept, kWrittenAnew, kOtherForm, kNotTheModel };
struct NameRule {
  std::string_view begin, end;
  Meaning meaning;
};

// The first that fits counts. Names: transformers (utils/__init__.py), optimum, huggingface_hub's serialization, Meta's
// and Mistral's downloads, llama.cpp, rust-bert.
constexpr std::array kFiles = {NameRule{"config.json", "", Meaning::kWrittenAnew},
                               NameRule{"model.safetensors", "", Meaning::kWrittenAnew},  // and its index
                               NameRule{"model-", ".safetensors", Meaning::kWrittenAnew},
                               NameRule{"", ".safetensors", Meaning::kOtherForm},
                               NameRule{"", ".safetensors.index.json", Meaning::kOtherForm},
                               NameRule{"pytorch_model", "", Meaning::kOtherForm},
                               NameRule{"tf_model", "", Meaning::kOtherForm},
                               NameRule{"flax_model", "", Meaning::kOtherForm},
                               NameRule{"openvino_model", "", Meaning::kOtherForm},
                               NameRule{"adapter_model", "", Meaning::kOtherForm},
                               NameRule{"model", ".bin", Meaning::kOtherForm},
                               NameRule{"consolidated", "", Meaning::kOtherForm},
                               NameRule{"", ".ckpt", Meaning::kOtherForm},
                               NameRule{"", ".pt", Meaning::kOtherForm},
                               NameRule{"", ".pth", Meaning::kOtherForm},
                               NameRule{"", ".h5", Meaning::kOtherForm},
                               NameRule{"", ".msgpack", Meaning::kOtherForm},
                               NameRule{"", ".onnx", Meaning::kOtherForm},
                               NameRule{"", ".onnx_data", Meaning::kOtherForm},
                               NameRule{"", ".gguf", Meaning::kOtherForm},
                               NameRule{"", ".ot", Meaning::kOtherForm},
                               NameRule{"", ".tflite", Meaning::kOtherForm},
                               NameRule{"", ".mlmodel", Meaning::kOtherForm}};
constexpr std::array kFolders = {
    NameRule{"onnx", "", Meaning::kOtherForm},   NameRule{"openvino", "", Meaning::kOtherForm},
    NameRule{"coreml", "", Meaning::kOtherForm}, NameRule{"original", "", Meaning::kOtherForm},
    NameRule{"tf", "", Meaning::kOtherForm},     NameRule{"flax", "", Meaning::kOtherForm},
    NameRule{"gguf", "", Meaning::kOtherForm},   NameRule{"checkpoint-", "", Meaning::kOtherForm},  // of a training
    NameRule{".git", "", Meaning::kNotTheModel}, NameRule{".cache", "", Meaning::kNotTheModel}};

Meaning meaning_of(const std::string& name, std::span<const NameRule> rules) {
  const auto fits = [&](const NameRule& rule) { return name.starts_with(rule.begin) && name.ends_with(rule.end); };
  const auto found = std::find_if(rules.begin(), rules.end(), fits);
  return found == rules.end() ? Meaning::kKept : found->meaning;
}

class FolderCopy {
 public:
  explicit FolderCopy(fs::path from) : from_(std::move(from)) {}

  void copy(const fs::path& inside, const fs::path& to, ModelFiles which, int64_t depth) {
    for (const fs::path& name : names_in(from_ / inside)) {
      const fs::path path = inside / name, source = from_ / path;
      const bool folder =
          fs::is_directory(source) && !fs::is_symlink(source);  // a link to one may lead round in a ring
      if (!folder && !fs::is_regular_file(source)) {
        left_out.push_back(path.string());
        continue;
      }
      Meaning meaning =
          depth > 0 ? Meaning::kKept : meaning_of(name.string(), folder ? std::span<const NameRule>(kFolders) : kFiles);
      if (which == ModelFiles::kAll && meaning != Meaning::kNotTheModel) meaning = Meaning::kKept;
      if (meaning == Meaning::kOtherForm) left_out.push_back(path.string() + (folder ? "/" : ""));
      if (meaning != Meaning::kKept) continue;
      if (folder) {
        if (depth == kDeepest) fail("folders", kDeepest, "deep");
        fs::create_directory(to / path);
        copy(path, to, which, depth + 1);
      } else {
        fs::copy_file(source, to / path);
      }
    }
  }

  std::vector<std::string> left_out;

 private:
  static constexpr int64_t kDeepest = 8, kMost = 10'000;

  [[noreturn]] void fail(const char* what, int64_t most, const char* how) const {
    throw Error(concat(from_.string(), ": expected the folder of one model, at most ", most, " ", what, " ", how,
                       ", found more; keep data and runs elsewhere"));
  }

  std::vector<fs::path> names_in(const fs::path& folder) {
    std::vector<fs::path> names;
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (++count_ > kMost) fail("files", kMost, "in all");
      names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  fs::path from_;
  int64_t count_ = 0;
};

}  // namespace

std::vector<std::string> copy_model_files(const fs::path& from, const fs::path& to, ModelFiles which) {
  FolderCopy files(from);
  files.copy("", to, which, 0);
  return files.left_out;
}

}  // namespace loraxs
