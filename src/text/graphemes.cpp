#include "text/graphemes.h"

#include <unicode/brkiter.h>
#include <unicode/utext.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace loraxs {
namespace {

void require_success(UErrorCode status) {
  if (U_FAILURE(status)) throw std::runtime_error(std::string("ICU: ") + u_errorName(status));
}

/// A copy of one made once: to make one anew reads its rules.
std::unique_ptr<icu::BreakIterator> new_iterator() {
  static const std::unique_ptr<const icu::BreakIterator> prototype = [] {
    UErrorCode status = U_ZERO_ERROR;
    std::unique_ptr<icu::BreakIterator> made(
        icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), status));
    require_success(status);
    return made;
  }();
  return std::unique_ptr<icu::BreakIterator>(prototype->clone());
}

}  // namespace

void for_each_grapheme(std::string_view text, const std::function<void(size_t, size_t)>& visit) {
  if (text.empty()) return;
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<UText, UText* (*)(UText*)> view(
      utext_openUTF8(nullptr, text.data(), static_cast<int64_t>(text.size()), &status), utext_close);
  require_success(status);
  const std::unique_ptr<icu::BreakIterator> iterator = new_iterator();
  iterator->setText(view.get(), status);
  require_success(status);
  int32_t begin = iterator->first();
  for (int32_t end = iterator->next(); end != icu::BreakIterator::DONE; end = iterator->next()) {
    visit(static_cast<size_t>(begin), static_cast<size_t>(end));
    begin = end;
  }
}

}  // namespace loraxs
