#include "text/unicode_form.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "text/utf8.h"

namespace loraxs {
namespace {

const icu::Normalizer2* instance_of(UnicodeForm form, UErrorCode& status) {
  switch (form) {
    case UnicodeForm::kNfc:
      return icu::Normalizer2::getNFCInstance(status);
    case UnicodeForm::kNfd:
      return icu::Normalizer2::getNFDInstance(status);
    case UnicodeForm::kNfkc:
      return icu::Normalizer2::getNFKCInstance(status);
    default:
      return icu::Normalizer2::getNFKDInstance(status);
  }
}

void check(UErrorCode status) {
  if (U_FAILURE(status)) throw std::runtime_error(std::string("ICU: ") + u_errorName(status));
}

const icu::UnicodeSet& characters_of_unicode_9() {
  static const icu::UnicodeSet set = [] {
    UErrorCode status = U_ZERO_ERROR;
    icu::UnicodeSet result(icu::UnicodeString::fromUTF8("[:age=9.0:]"), status);
    check(status);
    result.freeze();
    return result;
  }();
  return set;
}

/// Keeps what fits and counts the rest: exceptions do not pass through ICU.
class LimitedSink final : public icu::ByteSink {
 public:
  explicit LimitedSink(size_t most) : most_(most) {}
  void Append(const char* bytes, int32_t count) override {
    size_ += static_cast<size_t>(count);
    if (size_ <= most_) text_.append(bytes, static_cast<size_t>(count));
  }
  size_t size() const { return size_; }
  std::string take() { return std::move(text_); }

 private:
  size_t most_, size_ = 0;
  std::string text_;
};

struct Mark {
  uint8_t combining_class;
  char32_t c;
};

/// Appends `c` if it is a combining mark that a normal form may move, in its parts where it has the class of a letter
/// but parts that move: there are three of those.
bool append_mark(std::vector<Mark>& marks, char32_t c) {
  constexpr char32_t kFirstMark = 0x300;
  if (c < kFirstMark) return false;
  constexpr char32_t kComposed[][3] = {{0xF73, 0xF71, 0xF72}, {0xF75, 0xF71, 0xF74}, {0xF81, 0xF71, 0xF80}};
  for (const auto& [whole, first, second] : kComposed) {
    if (c == whole) return append_mark(marks, first) && append_mark(marks, second);
  }
  const uint8_t combining_class = u_getCombiningClass(static_cast<UChar32>(c));
  if (combining_class == 0 || !characters_of_unicode_9().contains(static_cast<UChar32>(c))) return false;
  marks.push_back({combining_class, c});
  return true;
}

/// An equivalent text whose long runs of marks are in the order of the normal forms: ICU puts each mark behind those
/// before it one by one, the square of the run.
std::string with_long_runs_sorted(std::string text) {
  constexpr size_t kLongRun = 32;
  std::string sorted;
  size_t copied = 0, run_begin = 0;
  std::vector<Mark> run;
  const auto end_run = [&](size_t end) {
    if (run.size() > kLongRun) {
      sorted.append(text, copied, run_begin - copied);
      std::stable_sort(run.begin(), run.end(),
                       [](const Mark& x, const Mark& y) { return x.combining_class < y.combining_class; });
      for (const Mark& mark : run) append_utf8(sorted, mark.c);
      copied = end;
    }
    run.clear();
  };
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const bool begins = run.empty();
    if (!append_mark(run, next_char(text, at))) {
      end_run(start);
    } else if (begins) {
      run_begin = start;
    }
  }
  end_run(text.size());
  if (copied == 0) return text;
  return sorted.append(text, copied);
}

}  // namespace

std::string to_unicode_form(std::string text, UnicodeForm form, TextLimit& limit) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 128; })) return text;
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* instance = instance_of(form, status);
  check(status);
  text = with_long_runs_sorted(std::move(text));
  LimitedSink sink(limit.left());
  const icu::StringPiece piece(text.data(), static_cast<int32_t>(text.size()));
  icu::FilteredNormalizer2(*instance, characters_of_unicode_9()).normalizeUTF8(0, piece, sink, nullptr, status);
  check(status);
  limit.require(sink.size());
  return sink.take();
}

void append_lowercase(std::string& text, char32_t c) {
  constexpr char32_t kCapitalIWithDot = 0x130, kDotAbove = 0x307;
  if (c == kCapitalIWithDot) {
    text += 'i';
    append_utf8(text, kDotAbove);
  } else if (c < 128) {
    text += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  } else {
    append_utf8(text, static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))));
  }
}

}  // namespace loraxs
