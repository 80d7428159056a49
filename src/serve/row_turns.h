// serve/row_turns.h: requests that need the row of their adapter: first they wait for a place, then for what is loaded
// into it.
#pragma once
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "adapt/resident_bank.h"
#include "serve/answering.h"
#include "serve/model_shelf.h"
#include "serve/row_queue.h"

namespace loraxs {

/// A RowQueue for each room of a shelf. Of an engine's thread.
class RowTurns {
 public:
  explicit RowTurns(const ModelShelf& shelf) : shelf_(shelf) {}

  /// It needs the row of `model`, which is not the base.
  void push(int64_t id, const Caller& caller, ServedModelPtr model);
  /// It needs none any more, or has let go of its own. Nothing happens where it is not known.
  void erase(int64_t id);
  /// Gives places in turn. -> who has a row since the last call; PinnedRow::wait() returns or throws at once.
  std::vector<std::pair<int64_t, std::shared_ptr<const PinnedRow>>> next();
  /// Whether it has a place, and next() has not yet given it the row.
  bool is_loading(int64_t id) const;
  /// Whether next() would give it its row.
  bool is_ready(int64_t id) const;
  int64_t num_waiting() const;  // for a place, or for what is loaded into it

 private:
  struct Known {
    RowQueue* queue = nullptr;
    ServedModelPtr model;
    std::shared_ptr<const PinnedRow> loading;
  };
  const ModelShelf& shelf_;
  std::map<size_t, RowQueue> queues_;  // by room
  std::unordered_map<int64_t, Known> known_;
  std::list<int64_t> loading_;  // they have a place, and their row is on its way
};

}  // namespace loraxs
