// generate/text_stream.h: an answer's tokens as text, as far as it can be shown.
#pragma once
#include <string>
#include <vector>

#include "generate/stop_strings.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace loraxs {

/// Belongs to one thread; streams may share a tokenizer.
class TextStream {
 public:
  TextStream(const Tokenizer& tokenizer, std::vector<std::string> stops)
      : detokenizer_(tokenizer), stops_(std::move(stops)) {}

  /// What may be shown after this token: never part of a character, never part of a stop string.
  std::string push(int32_t id) { return stops_.append(detokenizer_.push(id)); }
  /// What was held back, at the end of the answer.
  std::string finish() {
    const std::string last = stops_.append(detokenizer_.finish());
    return last + stops_.finish();
  }
  bool stopped() const { return stops_.stopped(); }
  const std::string& stop() const { return stops_.found(); }  // the stop string that was found; empty before

 private:
  Detokenizer detokenizer_;
  StopStrings stops_;
};

}  // namespace loraxs
