#include <filesystem>

#include "io/error.h"
#include "io/gguf.h"
#include "io/json.h"
#include "model/architecture.h"
#include "model/gguf_model.h"

namespace loraxs {

ParsedConfig read_model_config(const std::filesystem::path& folder_or_file, const ReadingOptions& reading) {
  std::filesystem::path path = folder_or_file;
  if (is_gguf_path(path)) return read_gguf_config(read_gguf(path), reading);
  if (std::filesystem::is_directory(path)) path /= "config.json";
  if (!std::filesystem::exists(path)) {
    throw Error(concat(folder_or_file.string(), ": expected a Hugging Face model folder with config.json, found ",
                       std::filesystem::exists(folder_or_file) ? "no config.json in it" : "nothing there",
                       "; to fetch one: huggingface-cli download NAME --local-dir ", folder_or_file.string()));
  }
  Fields fields(read_json(path), path.string());
  return parse_model_config(find_architecture(fields.text("model_type", ""), path.string()), fields,
                            reading.accepted_keys);
}

}  // namespace loraxs
