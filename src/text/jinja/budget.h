// text/jinja/budget.h: how much one rendering may spend.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>

namespace loraxs::jinja {

/// Of this thread: a rendering that waits for busy neighbours is not a slow one, and must not fail.
std::chrono::nanoseconds processor_time();

/// Templates come with models and are not trusted: none may run for ever or fill the memory.
struct Limits {
  int64_t steps = 5'000'000;         // expressions, statements, elements; 64 bytes compared or copied, 16 decoded
  int64_t depth = 600;               // nested expressions, statements, filters and calls
  int64_t elements = 1 << 16;        // of one list or dict that the template makes
  int64_t text_bytes = 4 << 20;      // of one text, the output included: about a million tokens
  int64_t total_bytes = 128 << 20;   // of all texts, lists and dicts made on the way, freed or not
  int64_t source_bytes = 256 << 10;  // of the template itself; published ones have up to 30 KB
  std::chrono::milliseconds time{1000};
  std::function<std::chrono::nanoseconds()> clock = processor_time;
};

/// Counts what a rendering spends; whatever costs more than a step charges here before it is done.
/// Each charge throws Failure (kLimit) when a limit is passed.
class Budget {
 public:
  explicit Budget(const Limits& limits);

  /// `count` expressions, statements or elements are looked at.
  void step(int64_t count = 1) { work(count * kStep); }
  /// `bytes` are compared, searched or copied.
  void read(size_t bytes) { work(static_cast<int64_t>(bytes)); }
  /// `bytes` are decoded, one code point after the other.
  void walk(size_t bytes) { work(static_cast<int64_t>(bytes) * 4); }

  /// Before a text of `bytes` is made.
  void text(int64_t bytes);
  /// Before a text of `size` bytes grows by `bytes`.
  void grow(int64_t size, int64_t bytes);
  /// Before a list, tuple, … of `count` elements is made.
  void list(int64_t count);
  /// Before a dict or a scope of `size` entries gets one more.
  void entry(int64_t size);
  /// Before a namespace, a bound method, a kept scope, … is made.
  void object() { allocate(kObjectBytes); }

  /// Spent so far.
  int64_t steps() const { return work_ / kStep; }
  int64_t bytes() const { return bytes_; }

  /// Enters a level; the destructor leaves it.
  class Level {
   public:
    explicit Level(Budget& budget) : budget_(budget) {
      if (budget_.depth_ >= budget_.limits_.depth) budget_.fail_depth();
      budget_.step();
      ++budget_.depth_;
    }
    ~Level() { --budget_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Budget& budget_;
  };

 private:
  static constexpr int64_t kStep = 64;  // units of work: bytes at the speed of memory
  // With what std::make_shared, vectors that double and the allocator add (glibc, 64 bits).
  static constexpr int64_t kTextBytes = 64, kElementBytes = 64, kEntryBytes = 160, kObjectBytes = 192;

  void work(int64_t units) {
    work_ += units;
    if (work_ >= next_look_) look();
  }
  void look();
  void allocate(int64_t bytes);
  [[noreturn]] void fail_depth() const;
  [[noreturn]] void fail_elements() const;

  const Limits limits_;
  const std::chrono::nanoseconds start_;
  int64_t work_ = 0, next_look_ = 0, depth_ = 0, bytes_ = 0;
};

}  // namespace loraxs::jinja
