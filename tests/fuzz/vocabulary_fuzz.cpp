// Vocabularies of before tokenizer.json: "{…}" and a line "#merges" are vocab.json and merges.txt, what begins with a
// SentencePiece model's first field is one (read in both numberings), all else is vocab.txt.
#include <fstream>

#include "../support/temporary_folder.h"
#include "exercise_tokenizer.h"

namespace {

/// Loads a folder of these files.
void load(const std::vector<std::pair<std::string, std::string_view>>& files, std::string_view input) {
  using namespace loraxs;
  static const test::TemporaryFolder folder;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) std::filesystem::remove(entry.path());
  for (const auto& [name, text] : files) std::ofstream(folder / name, std::ios::binary) << text;
  try {
    fuzz::exercise_all(*load_tokenizer(folder.path()), input);
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size), mark = "\n#merges\n";
  if (input.starts_with('{')) {
    const size_t cut = std::min(input.find(mark), input.size());
    load(
        {{"vocab.json", input.substr(0, cut)}, {"merges.txt", input.substr(std::min(cut + mark.size(), input.size()))}},
        input);
  } else if (input.starts_with('\n')) {
    load({{"tokenizer.model", input}}, input);
    load({{"sentencepiece.bpe.model", input}}, input);
  } else {
    load({{"vocab.txt", input}}, input);
  }
  return 0;
}
