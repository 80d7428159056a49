#include "generate/stop_strings.h"

#include <gtest/gtest.h>

#include "io/seeds.h"

namespace loraxs {
namespace {

/// What should be shown, by looking at every beginning of the text.
std::string cut_plainly(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 0; end <= text.size(); ++end) {
    size_t begin = std::string::npos;
    for (const std::string& stop : stops) {
      if (end >= stop.size() && text.compare(end - stop.size(), stop.size(), stop) == 0)
        begin = std::min(begin, end - stop.size());
    }
    if (begin != std::string::npos) return text.substr(0, begin);
  }
  return text;
}

TEST(StopStringsTest, ShowsTheSameHoweverTheTextIsCut) {
  int64_t stopped = 0;
  for (uint64_t trial = 0; trial < 3000; ++trial) {
    uint64_t state = trial;
    const auto draw = [&](uint64_t limit) { return (state = mix_seed(state, 1)) % limit; };
    const auto word = [&](uint64_t length) {
      std::string text;
      for (uint64_t i = 0; i < length; ++i) text += "ab\n"[draw(3)];
      return text;
    };
    std::vector<std::string> stops;
    for (uint64_t i = 0; i < 1 + draw(3); ++i) stops.push_back(word(1 + draw(5)));
    const std::string text = word(draw(30));
    StopStrings matcher(stops);
    std::string shown;
    for (size_t at = 0; at < text.size();) {
      const size_t length = std::min<size_t>(1 + draw(4), text.size() - at);
      shown += matcher.append(text.substr(at, length));
      at += length;
    }
    const bool stop = matcher.stopped();
    shown += matcher.finish();
    EXPECT_EQ(shown, cut_plainly(text, stops)) << trial;
    stopped += stop ? 1 : 0;
  }
  EXPECT_GT(stopped, 500);
  EXPECT_LT(stopped, 2900);
}

TEST(StopStringsTest, HoldsBackOnlyWhatMayBecomeAStop) {
  StopStrings matcher({"</end>"});
  EXPECT_EQ(matcher.append("one < two</e"), "one < two");
  EXPECT_EQ(matcher.append("x"), "</ex");
  EXPECT_EQ(matcher.append("</end"), "");
  EXPECT_FALSE(matcher.stopped());
  EXPECT_EQ(matcher.append("> more"), "");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.append("more"), "");
  EXPECT_EQ(matcher.finish(), "");
}

}  // namespace
}  // namespace loraxs
