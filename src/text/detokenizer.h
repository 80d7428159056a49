// text/detokenizer.h: text of tokens that arrive one by one, as in a chat.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace loraxs {

/// All that push() and finish() return, end to end, is what Tokenizer::decode gives for the same ids: it is made of the
/// same steps. A character is never split: the bytes of one that is not complete are held back. The tokenizer has to
/// outlive it; several may share it, each in one thread.
class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer, bool skip_special = true);
  /// The text that is certain once this token is known; often its own, sometimes empty.
  std::string push(int32_t id);
  /// What was held back. Afterwards only destruction is left.
  std::string finish();

 private:
  void run(size_t step, const Fragment& fragment, std::string& text);

  const Tokenizer& tokenizer_;
  bool skip_special_;
  std::vector<std::unique_ptr<DecodeStep>> steps_;
};

}  // namespace loraxs
