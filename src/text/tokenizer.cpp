#include "text/tokenizer.h"

#include "io/error.h"
#include "text/wordpiece.h"

namespace loraxs {

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model_folder) {
  const std::filesystem::path json_path = model_folder / "tokenizer.json", vocab = model_folder / "vocab.txt";
  if (std::filesystem::exists(json_path)) {
    const nlohmann::json json = read_json(json_path);
    Fields root(json, json_path.string());
    const std::string kind = root.object("model").text("type", "");
    if (kind == "WordPiece") return WordPieceTokenizer::from_json(json, json_path.string());
    throw Error(concat(json_path.string(), ": model.type: expected WordPiece, found \"", kind, "\""));
  }
  if (std::filesystem::exists(vocab)) {
    const std::filesystem::path settings = model_folder / "tokenizer_config.json";
    return WordPieceTokenizer::from_vocab(vocab,
                                          std::filesystem::exists(settings) ? read_json(settings) : nlohmann::json());
  }
  throw Error(concat(model_folder.string(),
                     ": expected tokenizer.json or vocab.txt, found neither; fetch the model's tokenizer files too"));
}

}  // namespace loraxs
