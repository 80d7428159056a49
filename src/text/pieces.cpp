#include "text/pieces.h"

#include <algorithm>

#include "text/utf8.h"

namespace loraxs {
namespace {

struct Segment {
  size_t begin, end;
  bool is_match;
};

/// Joins segments as `behavior` says; what joins a match to its neighbour loses the mark.
void append_joined(const std::vector<Segment>& segments, SplitBehavior behavior, std::vector<Pieces::Range>& ranges) {
  bool previous_match = false;
  const auto push = [&](const Segment& s) { ranges.push_back({s.begin, s.end}); };
  const size_t first = ranges.size();
  switch (behavior) {
    case SplitBehavior::kRemoved:
      for (const Segment& s : segments) {
        if (!s.is_match) push(s);
      }
      break;
    case SplitBehavior::kIsolated:
      for (const Segment& s : segments) push(s);
      break;
    case SplitBehavior::kMergedWithPrevious:
      for (const Segment& s : segments) {
        if (s.is_match && !previous_match && ranges.size() > first) {
          ranges.back().end = s.end;
        } else {
          push(s);
        }
        previous_match = s.is_match;
      }
      break;
    case SplitBehavior::kMergedWithNext:
      for (auto s = segments.rbegin(); s != segments.rend(); ++s) {
        if (s->is_match && !previous_match && ranges.size() > first) {
          ranges.back().begin = s->begin;
        } else {
          push(*s);
        }
        previous_match = s->is_match;
      }
      std::reverse(ranges.begin() + static_cast<int64_t>(first), ranges.end());
      break;
    case SplitBehavior::kContiguous:
      for (const Segment& s : segments) {
        if (s.is_match == previous_match && ranges.size() > first) {
          ranges.back().end = s.end;
        } else {
          push(s);
        }
        previous_match = s.is_match;
      }
      break;
  }
}

}  // namespace

void Pieces::rewrite(const std::function<void(std::string_view, size_t, std::string&)>& rewrite) {
  std::string fresh;
  fresh.reserve(text.size() * 3 / 2);
  size_t kept = 0;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const size_t begin = fresh.size();
    rewrite(of(ranges[i]), i, fresh);
    limit.require(fresh.size());
    if (fresh.size() > begin) ranges[kept++] = {begin, fresh.size()};
  }
  ranges.resize(kept);
  text = std::move(fresh);
}

void split_pieces(Pieces& pieces, const std::function<void(std::string_view, const MatchSink&)>& find,
                  SplitBehavior behavior, bool invert) {
  std::vector<Pieces::Range> ranges;
  std::vector<Segment> segments;
  for (const Pieces::Range& range : pieces.ranges) {
    segments.clear();
    size_t end_of_last = range.begin;
    find(pieces.of(range), [&](size_t begin, size_t end) {
      begin += range.begin, end += range.begin;
      if (begin > end_of_last) segments.push_back({end_of_last, begin, invert});
      segments.push_back({begin, end, !invert});
      end_of_last = end;
    });
    if (end_of_last < range.end) segments.push_back({end_of_last, range.end, invert});
    append_joined(segments, behavior, ranges);
  }
  std::erase_if(ranges, [](const Pieces::Range& range) { return range.begin == range.end; });
  pieces.ranges = std::move(ranges);
}

std::function<void(std::string_view, const MatchSink&)> find_chars(bool (*is_member)(char32_t)) {
  return [is_member](std::string_view text, const MatchSink& match) {
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      if (is_member(next_char(text, at))) match(begin, at);
    }
  };
}

}  // namespace loraxs
