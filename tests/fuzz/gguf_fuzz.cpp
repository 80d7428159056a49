// A GGUF file: the container, its metadata, and the tokenizer in it.
#include <fstream>

#include "../support/temporary_folder.h"
#include "exercise_tokenizer.h"
#include "io/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loraxs;
  static const test::TemporaryFolder folder;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::filesystem::path path = folder / "x.gguf";
  std::ofstream(path, std::ios::binary) << input;
  try {
    const Gguf file = read_gguf(path);
    for (const auto& [key, value] : file.metadata) {
      value.strings();
      value.integers();
      value.numbers();
    }
    for (const auto& [name, tensor] : file.tensors) {
      int64_t elements = 1;
      for (const int64_t each : tensor.shape) fuzz::require(!__builtin_mul_overflow(elements, each, &elements));
      if (!tensor.bytes.empty())
        fuzz::require(tensor.bytes.data() + tensor.bytes.size() <= file.file->bytes().data() + size);
    }
    fuzz::exercise_all(*load_tokenizer(path), input);
  } catch (const Error&) {
  }
  return 0;
}
