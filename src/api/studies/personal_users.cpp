#include "api/studies/personal_users.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <string_view>

#include "io/error.h"
#include "io/seeds.h"

namespace loraxs {
namespace {

// ---- labellings -----------------------------------------------------------------------------------------------------

constexpr size_t kShortestText = 12, kLongestText = 96;  // bytes: what 90 of can be learned in a second on two cores

/// What a user's label says of a text: whether one of `words` stands in it, or what `test` says.
struct LabelRule {
  const char* name;
  std::vector<std::string_view> words;  // lower case
  bool (*test)(const std::string& text) = nullptr;
};

bool has_digit(const std::string& text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c >= '0' && c <= '9'; });
}
bool is_question(const std::string& text) { return text.ends_with('?'); }
bool is_long(const std::string& text) {
  constexpr size_t kLong = 58;  // the mean of QNLI's texts of these lengths
  return text.size() > kLong;
}
bool has_long_word(const std::string& text) {
  constexpr size_t kLongWord = 11;
  size_t letters = 0;
  for (const unsigned char c : text) {
    letters = c < 0x80 && std::isalpha(c) != 0 ? letters + 1 : 0;
    if (letters >= kLongWord) return true;
  }
  return false;
}
/// A capital behind a space.
bool has_name(const std::string& text) {
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i - 1] == ' ' && text[i] >= 'A' && text[i] <= 'Z') return true;
  }
  return false;
}

const std::vector<LabelRule>& label_rules() {
  static const std::vector<LabelRule> rules = {
      {"topic-war",
       {"war", "wars", "army", "battle", "military", "troops", "soldiers", "navy", "weapons", "force", "forces"}},
      {"topic-state",
       {"government", "president", "parliament", "law", "laws", "court", "party", "political", "election"}},
      {"topic-place",
       {"city", "river", "island", "country", "capital", "border", "region", "north", "south", "east", "west"}},
      {"topic-science",
       {"species", "energy", "cells", "water", "chemical", "plants", "animals", "light", "temperature", "disease"}},
      {"topic-sport",
       {"team", "teams", "game", "games", "season", "league", "football", "player", "players", "cup", "olympic"}},
      {"topic-trade",
       {"company", "companies", "bank", "market", "economy", "trade", "money", "oil", "industry", "business"}},
      {"genre-question", {}, is_question},
      {"genre-who", {"who", "whom", "whose"}},
      {"genre-when", {"when", "year", "century", "date"}},
      {"length-text", {}, is_long},
      {"length-word", {}, has_long_word},
      {"polarity-not", {"not", "no", "never", "without", "none", "neither", "nor", "cannot"}},
      {"polarity-most", {"most", "best", "largest", "first", "highest", "greatest", "oldest", "main", "more", "than"}},
      {"time-past", {"did", "was", "were", "had"}},
      {"named-number", {}, has_digit},
      {"named-name", {}, has_name},
  };
  return rules;
}

bool applies(const LabelRule& rule, const std::string& text) {
  if (rule.test != nullptr) return rule.test(text);
  std::string word;
  for (size_t i = 0; i <= text.size(); ++i) {
    const unsigned char c = i < text.size() ? static_cast<unsigned char>(text[i]) : ' ';
    if (c < 0x80 && std::isalpha(c) != 0) {
      word.push_back(static_cast<char>(std::tolower(c)));
      continue;
    }
    if (std::find(rule.words.begin(), rule.words.end(), word) != rule.words.end()) return true;
    word.clear();
  }
  return false;
}

/// The texts of examples that are neither too short nor too long, each once, in their order.
std::vector<std::string> texts_of(const std::vector<Example>& examples) {
  std::vector<std::string> texts;
  std::set<std::string> seen;
  const auto take = [&](const std::string& text) {
    if (text.size() < kShortestText || text.size() > kLongestText || !seen.insert(text).second) return;
    texts.push_back(text);
  };
  for (const Example& example : examples) {
    take(example.first);
    if (example.second) take(*example.second);
  }
  return texts;
}

/// Places of the texts that a rule does not apply to, and of those that it does.
struct Sides {
  std::vector<int64_t> no, yes;

  bool hold(int64_t examples) const { return static_cast<int64_t>(std::min(no.size(), yes.size())) >= examples / 2; }
};

Sides sides_of(const LabelRule& rule, const std::vector<std::string>& texts) {
  Sides sides;
  for (size_t i = 0; i < texts.size(); ++i) {
    (applies(rule, texts[i]) ? sides.yes : sides.no).push_back(static_cast<int64_t>(i));
  }
  return sides;
}

struct UsableRule {
  const LabelRule* rule;
  Sides train, test;
};

/// `count` texts, half of each side, labelled; which ones the seed says.
std::vector<Example> draw(const std::vector<std::string>& texts, const Sides& sides, int64_t count, bool turned,
                          uint64_t seed) {
  std::vector<Example> examples;
  examples.reserve(static_cast<size_t>(count));
  for (const bool yes : {false, true}) {
    const std::vector<int64_t>& side = yes ? sides.yes : sides.no;
    const std::vector<int64_t> order = permutation(static_cast<int64_t>(side.size()), mix_seed(seed, yes ? 1 : 0));
    for (int64_t i = 0; i < count / 2; ++i) {
      const int64_t text = side[static_cast<size_t>(order[static_cast<size_t>(i)])];
      examples.push_back({.first = texts[static_cast<size_t>(text)], .target = yes != turned ? 1 : 0});
    }
  }
  return examples;
}

/// "u", 7 -> "u007".
std::string numbered(const char* letter, int64_t number) {
  const std::string digits = concat(number);
  constexpr size_t kDigits = 3;
  return letter + std::string(kDigits - std::min(kDigits, digits.size()), '0') + digits;
}

// ---- speakers -------------------------------------------------------------------------------------------------------

constexpr size_t kShortestSpeech = 20, kLongestSpeech = 160;

struct Speaker {
  std::string name;
  std::vector<std::string> speeches;  // each once, in the play's order
};

/// "KING RICHARD II" -> "king-richard-ii".
std::string speaker_name(std::string_view spoken) {
  std::string name;
  for (const unsigned char c : spoken) {
    const bool plain = c < 0x80 && std::isalnum(c) != 0;
    name.push_back(plain ? static_cast<char>(std::tolower(c)) : '-');
  }
  return name;
}

/// Those who say most first.
std::vector<Speaker> speakers_of(const std::vector<Example>& texts) {
  std::map<std::string, Speaker> known;
  std::set<std::string> seen;
  for (const Example& example : texts) {
    const std::string_view text = example.second ? std::string_view(*example.second) : std::string_view();
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find("\n\n", begin), text.size());
      const std::string_view block = text.substr(begin, end - begin);
      begin = end + 2;
      const size_t line = block.find('\n');
      if (line == std::string_view::npos || line < 2 || block[line - 1] != ':') continue;
      std::string speech(block.substr(line + 1));
      if (speech.size() < kShortestSpeech || speech.size() > kLongestSpeech || !seen.insert(speech).second) continue;
      const std::string name = speaker_name(block.substr(0, line - 1));
      Speaker& speaker = known[name];
      speaker.name = name;
      speaker.speeches.push_back(std::move(speech));
    }
  }
  std::vector<Speaker> speakers;
  speakers.reserve(known.size());
  for (auto& [name, speaker] : known) speakers.push_back(std::move(speaker));
  std::stable_sort(speakers.begin(), speakers.end(),
                   [](const Speaker& x, const Speaker& y) { return x.speeches.size() > y.speeches.size(); });
  return speakers;
}

/// A speaker's first speeches to be scored on, and others of it to learn from; which the seed says.
PersonalUser speaking_user(const Speaker& speaker, const UserSize& size, int64_t test) {
  PersonalUser user{.name = speaker.name, .size = size};
  const std::vector<int64_t> order =
      permutation(static_cast<int64_t>(speaker.speeches.size()), derive_seed(0, speaker.name));
  user.test.reserve(static_cast<size_t>(test));
  user.train.reserve(static_cast<size_t>(size.examples));
  for (int64_t i = 0; i < test + size.examples; ++i) {
    const auto at = static_cast<size_t>(order[static_cast<size_t>(i)]);
    (i < test ? user.test : user.train).push_back({.second = speaker.speeches[at]});
  }
  return user;
}

const UserSize& size_of(const UserPlan& plan, int64_t user) {
  return plan.sizes[static_cast<size_t>(user) % plan.sizes.size()];
}

}  // namespace

PersonalUsers labelling_users(const Task& task, const UserPlan& plan, const std::string& where) {
  const std::vector<std::string> train = texts_of(task.train), test = texts_of(task.validation);
  int64_t most = plan.other.examples;
  for (const UserSize& size : plan.sizes) most = std::max(most, size.examples);
  std::vector<UsableRule> rules;
  rules.reserve(label_rules().size());
  for (const LabelRule& rule : label_rules()) {
    UsableRule usable{&rule, sides_of(rule, train), sides_of(rule, test)};
    if (usable.train.hold(most) && usable.test.hold(plan.test)) rules.push_back(std::move(usable));
  }
  if (rules.empty()) {
    throw Error(concat(where, ": task: expected texts of ", kShortestText, " to ", kLongestText,
                       " bytes of which a rule says yes of ", most / 2, " and no of ", most / 2, ", found ",
                       train.size(), " such texts to train on and ", test.size(), " others, and no rule"));
  }
  const auto user_of = [&](const char* letter, int64_t number, int64_t in_turn, const UserSize& size) {
    const bool turned = in_turn % 2 == 1;
    const UsableRule& rule = rules[static_cast<size_t>(in_turn / 2) % rules.size()];
    PersonalUser user{.name = concat(numbered(letter, number), "-", rule.rule->name, turned ? "-turned" : ""),
                      .size = size};
    const uint64_t seed = derive_seed(0, user.name);
    user.train = draw(train, rule.train, size.examples, turned, seed);
    user.test = draw(test, rule.test, plan.test, turned, seed);
    return user;
  };
  PersonalUsers all{.task = {.name = "classification", .labels = {"no", "yes"}, .metric = "accuracy"}};
  all.users.reserve(static_cast<size_t>(plan.users));
  all.others.reserve(static_cast<size_t>(plan.others));
  const auto sizes = static_cast<int64_t>(plan.sizes.size());
  for (int64_t u = 0; u < plan.users; ++u) all.users.push_back(user_of("u", u, u / sizes, size_of(plan, u)));
  for (int64_t u = 0; u < plan.others; ++u) all.others.push_back(user_of("o", u, u, plan.other));
  return all;
}

PersonalUsers speaking_users(const Task& task, const UserPlan& plan, const std::string& where) {
  const std::vector<Speaker> speakers = speakers_of(task.train);
  PersonalUsers all{.task = task};
  all.task.train.clear();
  all.task.validation.clear();
  all.users.reserve(static_cast<size_t>(plan.users));
  all.others.reserve(static_cast<size_t>(plan.others));
  int64_t most = 0;
  for (const UserSize& size : plan.sizes) most = std::max(most, size.examples);
  const auto has = [&](size_t speaker, int64_t speeches) {
    if (speaker < speakers.size() && static_cast<int64_t>(speakers[speaker].speeches.size()) >= speeches) return;
    throw Error(concat(where, ": task.train: expected speaker ", speaker + 1, " to say ", speeches,
                       " different things of ", kShortestSpeech, " to ", kLongestSpeech, " bytes, found ",
                       speaker < speakers.size() ? speakers[speaker].speeches.size() : 0));
  };
  for (int64_t u = 0; u < plan.users; ++u) {
    const auto speaker = static_cast<size_t>(u);
    has(speaker, most + plan.test);
    all.users.push_back(speaking_user(speakers[speaker], size_of(plan, u), plan.test));
  }
  for (int64_t u = 0; u < plan.others; ++u) {
    const auto speaker = static_cast<size_t>(plan.users + u);
    has(speaker, plan.other.examples);
    all.others.push_back(speaking_user(speakers[speaker], plan.other, 0));
  }
  return all;
}

}  // namespace loraxs
