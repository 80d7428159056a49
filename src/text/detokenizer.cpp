#include "text/detokenizer.h"

namespace loraxs {

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool skip_special)
    : tokenizer_(tokenizer), skip_special_(skip_special) {
  for (const DecoderPart& part : tokenizer.decoder()) steps_.push_back(part.make());
}

void Detokenizer::run(size_t step, const Fragment& fragment, std::string& text) {
  if (step == steps_.size()) {
    text += fragment.text;
  } else {
    steps_[step]->push(fragment, [&](const Fragment& next) { run(step + 1, next, text); });
  }
}

std::string Detokenizer::push(int32_t id) {
  std::string text;
  const std::string* token = tokenizer_.token_of(id);
  if (token != nullptr && !(skip_special_ && tokenizer_.is_special(id))) run(0, {*token}, text);
  return text;
}

std::string Detokenizer::finish() {
  std::string text;
  for (size_t step = 0; step < steps_.size(); ++step) {
    steps_[step]->finish([&](const Fragment& rest) { run(step + 1, rest, text); });
  }
  return text;
}

}  // namespace loraxs
