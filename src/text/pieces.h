// text/pieces.h: a text on its way to tokens, cut into pieces that are tokenized one by one.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "text/text_limit.h"

namespace loraxs {

struct Pieces {
  struct Range {
    size_t begin = 0, end = 0;  // bytes of `text`
  };
  std::string text;           // valid UTF-8
  std::vector<Range> ranges;  // in order, not overlapping, not empty; what lies between them is dropped
  bool at_start = true;       // the text begins what the user wrote: nothing stands before it
  TextLimit& limit;           // of the whole text

  std::string_view of(const Range& range) const {
    return std::string_view(text).substr(range.begin, range.end - range.begin);
  }
  /// Writes every piece anew: `rewrite(piece, index, out)` appends to out. Throws Error beyond the limit.
  void rewrite(const std::function<void(std::string_view, size_t, std::string&)>& rewrite);
};

/// What becomes of the matches that split a text (the names of tokenizer.json).
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

/// Cuts every piece at the matches that `find(piece, match)` reports; `invert` cuts at what lies between them.
using MatchSink = std::function<void(size_t, size_t)>;
void split_pieces(Pieces& pieces, const std::function<void(std::string_view, const MatchSink&)>& find,
                  SplitBehavior behavior, bool invert = false);

/// For split_pieces: matches are the single characters of a class.
std::function<void(std::string_view, const MatchSink&)> find_chars(bool (*is_member)(char32_t));

}  // namespace loraxs
