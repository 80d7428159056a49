#include "text/decoder.h"

#include <algorithm>
#include <charconv>

#include "text/byte_level.h"
#include "text/json_part.h"
#include "text/utf8.h"

namespace loraxs {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

/// Tokens one by one through a function of the token and its number.
class MapStep final : public TokenStep {
 public:
  using Map = std::function<std::string(std::string_view, size_t)>;
  explicit MapStep(Map map) : map_(std::move(map)) {}

 private:
  void push_token(std::string_view token, const Sink& sink) override { sink({map_(token, index_++)}); }
  Map map_;
  size_t index_ = 0;
};

DecodeSteps map_tokens(const MapStep::Map& map, double growth = 1) {
  return {{.make = [map] { return std::make_unique<MapStep>(map); }, .growth = growth}};
}

template <typename Step>
DecodeSteps step_of(Fields&) {
  return {{.make = [] { return std::make_unique<Step>(); }}};
}

/// GPT-2's alphabet back to bytes, and these to characters as soon as they are complete.
class ByteLevelStep final : public TokenStep {
 public:
  void finish(const Sink& sink) override { sink({valid_utf8(pending_), first_, true}); }

 private:
  void push_token(std::string_view token, const Sink& sink) override {
    pending_ += bytes_of_token(token);
    const size_t complete = pending_.size() - incomplete_tail(pending_);
    sink({valid_utf8(std::string_view(pending_).substr(0, complete)), first_, false});
    pending_.erase(0, complete);
    first_ = false;
  }
  std::string pending_;
  bool first_ = true;
};

/// Runs of <0xE2> tokens become text if the whole run is valid UTF-8, else one U+FFFD for each byte.
class ByteFallbackStep final : public TokenStep {
 public:
  void finish(const Sink& sink) override {
    if (run_.empty()) return;
    std::string text = valid_utf8(run_);
    if (text != run_) {
      text.clear();
      for (size_t i = 0; i < run_.size(); ++i) text += kReplacement;
    }
    run_.clear();
    sink({text});
  }

 private:
  void push_token(std::string_view token, const Sink& sink) override {
    if (const int byte = byte_of_token(token); byte >= 0) {
      run_ += static_cast<char>(byte);
      return;
    }
    finish(sink);
    sink({token});
  }
  std::string run_;
};

class FuseStep final : public DecodeStep {
 public:
  void push(const Fragment& fragment, const Sink& sink) override {
    sink({fragment.text, first_, false});
    first_ = false;
  }
  void finish(const Sink& sink) override { sink({"", first_, true}); }

 private:
  bool first_ = true;
};

/// Takes up to `start` of one character from the front of every token and up to `stop` from its end.
class StripStep final : public DecodeStep {
 public:
  StripStep(std::string content, size_t start, size_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}

  void push(const Fragment& fragment, const Sink& sink) override {
    if (fragment.starts_token) {
      to_strip_ = start_;
      held_ = 0;
    }
    std::string_view text = fragment.text;
    while (to_strip_ > 0 && !text.empty()) {
      const bool strip = text.starts_with(content_);
      if (strip) text.remove_prefix(content_.size());
      to_strip_ = strip ? to_strip_ - 1 : 0;
    }
    // The last characters, up to `stop`, are held back: they go if the token ends here. All of them are the same.
    size_t held = 0, keep = text.size();
    for (; held < stop_ && text.substr(0, keep).ends_with(content_); keep -= content_.size()) ++held;
    size_t released = held_;
    if (keep == 0) {
      released = held_ + held > stop_ ? held_ + held - stop_ : 0;
      held = held_ + held - released;
    }
    std::string certain;
    for (size_t i = 0; i < released; ++i) certain += content_;
    sink({certain.append(text.substr(0, keep)), fragment.starts_token, fragment.ends_token});
    held_ = held;
  }

 private:
  std::string content_;
  size_t start_, stop_, to_strip_ = 0;
  size_t held_ = 0;  // characters
};

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  while (!from.empty()) {
    const size_t at = text.find(from);
    if (at == std::string_view::npos) break;
    result.append(text.substr(0, at)).append(to);
    text.remove_prefix(at + from.size());
  }
  return result.append(text);
}

DecodeSteps metaspace(Fields& fields) {
  const std::string mark = parse_char(fields, "replacement", "▁");
  const std::string fallback = fields.boolean("add_prefix_space", true) ? "always" : "never";  // the older spelling
  const bool drop_first = fields.text("prepend_scheme", fallback) != "never";
  return map_tokens([=](std::string_view token, size_t index) {
    return replace_all(token, mark, index == 0 && drop_first ? "" : " ");
  });
}

DecodeSteps replace(Fields& fields) {
  const Regex pattern = parse_pattern(fields, "pattern");
  const std::string content = fields.text("content", "");
  const auto added = static_cast<double>(content.size()), least = static_cast<double>(pattern.least_bytes());
  return map_tokens(
      [=](std::string_view token, size_t) {
        TextLimit limit(token.size());
        return pattern.replace_all(token, content, limit);
      },
      least > 0 ? std::max(1.0, added / least)
                : 1 + 2 * added);  // before and behind a character, where nothing matches
}

DecodeSteps strip(Fields& fields) {
  const std::string content = parse_char(fields, "content");
  const auto start = static_cast<size_t>(fields.non_negative_int("start", 0));
  const auto stop = static_cast<size_t>(fields.non_negative_int("stop", 0));
  return {{.make = [=] { return std::make_unique<StripStep>(content, start, stop); }}};
}

DecodeSteps wordpiece(Fields& fields) {
  const std::string prefix = parse_affix(fields, "prefix", "##");
  const bool cleanup = fields.boolean("cleanup", true);
  return map_tokens([=](std::string_view token, size_t index) {
    const bool continues = token.starts_with(prefix);
    std::string text = index == 0  ? std::string(token)
                       : continues ? std::string(token.substr(prefix.size()))
                                   : concat(' ', token);
    if (!cleanup) return text;
    constexpr std::pair<std::string_view, std::string_view> kCleanups[] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& [from, to] : kCleanups) text = replace_all(text, from, to);
    return text;
  });
}

}  // namespace

void TokenStep::push(const Fragment& fragment, const Sink& sink) {
  if (fragment.starts_token && fragment.ends_token) {
    push_token(fragment.text, sink);
    return;
  }
  if (fragment.starts_token) collected_.clear();
  collected_ += fragment.text;
  if (fragment.ends_token) push_token(collected_, sink);
}

int byte_of_token(std::string_view token) {
  constexpr size_t kLength = 6;
  if (token.size() != kLength || !token.starts_with("<0x") || !token.ends_with('>')) return -1;
  int byte = -1;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + kLength - 1, byte, 16);
  return error == std::errc() && end == token.data() + kLength - 1 ? byte : -1;
}

DecodeSteps parse_decoder(const nlohmann::json& json, const std::string& where) {
  static const PartTable<DecodeSteps> kinds = {{"ByteFallback", step_of<ByteFallbackStep>},
                                               {"ByteLevel", step_of<ByteLevelStep>},
                                               {"Fuse", step_of<FuseStep>},
                                               {"Metaspace", metaspace},
                                               {"Replace", replace},
                                               {"Strip", strip},
                                               {"WordPiece", wordpiece}};
  if (json.is_null()) {
    return map_tokens([](std::string_view token, size_t index) { return concat(index == 0 ? "" : " ", token); });
  }
  DecodeSteps decoder = parse_parts(json, "decoder", "decoders", kinds, where);
  double growth = 1;
  for (const DecoderPart& part : decoder) {
    constexpr double kMostGrowth = 64;
    growth *= part.growth;
    if (growth > kMostGrowth) {
      throw Error(concat(where, ": decoder: expected steps that make at most ", kMostGrowth,
                         " bytes of one, found some that make more"));
    }
  }
  return decoder;
}

}  // namespace loraxs
