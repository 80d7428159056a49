// Encoding and decoding the QNLI sentences of the repository, one thread; beside bench/peers/tokenizers_peer.py.
#include <benchmark/benchmark.h>

#include <filesystem>
#include <sstream>

#include "io/text_file.h"
#include "text/tokenizer.h"

namespace loraxs {
namespace {

std::vector<std::string> lines_of_qnli() {
  std::istringstream file(read_text_file("data/qnli/dev.tsv"));
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::filesystem::path model_path(bool decoder) {
  if (!decoder) return "models/minilm";
  return std::filesystem::directory_iterator("models/smollm2")->path();
}

/// Range 0: WordPiece of MiniLM; 1: byte-level BPE of SmolLM2.
void BM_Encode(benchmark::State& state) {
  const auto tokenizer = load_tokenizer(model_path(state.range(0) == 1));
  const std::vector<std::string> lines = lines_of_qnli();
  int64_t bytes = 0, tokens = 0;
  for (auto _ : state) {
    for (const std::string& line : lines) {
      tokens += static_cast<int64_t>(tokenizer->encode_text(line, {}).size());
      bytes += static_cast<int64_t>(line.size());
    }
  }
  state.SetBytesProcessed(bytes);
  state.SetItemsProcessed(tokens);
}
BENCHMARK(BM_Encode)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

void BM_Decode(benchmark::State& state) {
  const auto tokenizer = load_tokenizer(model_path(/*decoder=*/true));
  std::vector<std::vector<int32_t>> texts;
  for (const std::string& line : lines_of_qnli()) texts.push_back(tokenizer->encode_text(line, {}));
  int64_t bytes = 0;
  for (auto _ : state) {
    for (const auto& ids : texts) bytes += static_cast<int64_t>(tokenizer->decode(ids, true).size());
  }
  state.SetBytesProcessed(bytes);
}
BENCHMARK(BM_Decode)->Unit(benchmark::kMillisecond);

void BM_Load(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(load_tokenizer(model_path(state.range(0) == 1)));
}
BENCHMARK(BM_Load)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace loraxs
