// adapt/resident_bank.h: rows of the adapters in use, out of any number that a store holds, within a budget of bytes.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "adapt/adapter_set.h"

namespace loraxs {

/// Writes an adapter's row into `row` [row_size] and returns what it has beside it: the one thing that a bank asks of a
/// store or a file. Called on the bank's own thread. An Error is that adapter's failure alone.
using RowLoader = std::function<BankEntry(std::span<float> row)>;

/// What adapters must share to stand in one bank: the layout, and the basis that their numbers are coordinates on.
struct ResidentKind {
  std::shared_ptr<const Layout> layout;
  std::string basis_id;  // empty: the method reads none

  /// Throws Error naming `adapter` and what differs when one of another kind asks for a row.
  void check(const std::string& adapter, const Layout& other, const std::string& other_basis_id) const;
};

class PinnedRow;

/// A Bank of fixed places. An adapter is found by the digest of its row and takes the place of the one that nobody has
/// used for longest; batches read it as slot `PinnedRow::slot()` of set(). Places that are pinned are never written.
/// Threads may pin and let go; loads run one after the other on a thread of the bank's own, beside batches of others.
/// Made by std::make_shared: pins keep it.
class ResidentBank : public std::enable_shared_from_this<ResidentBank> {
 public:
  /// As many places as `bytes` hold; memory is taken when a place is first used, and for one ahead of it while nothing
  /// is to load. Throws Error when not one row fits.
  ResidentBank(ResidentKind kind, int64_t bytes, torch::Device device = torch::kCPU);
  ~ResidentBank();
  ResidentBank(const ResidentBank&) = delete;
  ResidentBank& operator=(const ResidentBank&) = delete;

  /// The place of the adapter whose row has this digest, which `load` fills if it is not there (by what another asked,
  /// it may be under way). Null while all places are pinned.
  std::shared_ptr<const PinnedRow> pin(const std::string& digest, RowLoader load);

  /// All places as slots, for a SlotTable that lives as long as the bank.
  AdapterSet set() const { return AdapterSet::of_bank(bank_); }
  const ResidentKind& kind() const { return kind_; }
  int64_t capacity() const { return bank_->num_adapters(); }
  bool holds(const std::string& digest) const;  // whether the adapter's row is there
  int64_t num_loads() const;                    // rows that were brought in so far
  int64_t num_resident() const;                 // adapters that are there, or on their way

 private:
  friend class PinnedRow;
  enum class State : uint8_t { kEmpty, kLoading, kReady, kFailed };
  struct Place {
    std::string digest;        // empty: no adapter, or one that failed
    std::exception_ptr error;  // of a failed load, for those who wait
    int64_t pins = 0;
    State state = State::kEmpty;
    std::optional<std::list<int64_t>::iterator> idle;  // in idle_, where nobody pins it
  };
  struct Load {
    int64_t place;
    RowLoader load;
  };

  void unpin(int64_t place);
  void rest(int64_t place);  // nobody uses it and nobody writes it
  void run_loads();
  void take_memory(int64_t place);  // of a place that was never used: its first load then meets no page fault
  /// -> the failure, null: none
  std::exception_ptr load_into(int64_t place, const RowLoader& load);

  ResidentKind kind_;
  std::shared_ptr<Bank> bank_;
  std::vector<float> staging_;  // rows on their way to another device
  mutable std::mutex mutex_;
  std::condition_variable asked_, loaded_;
  std::vector<Place> places_;
  std::unordered_map<std::string, int64_t> by_digest_;  // -> place, of those loading and ready
  std::list<int64_t> idle_;                             // places to take next: unused first, then longest idle
  std::deque<Load> loads_;
  int64_t num_loads_ = 0;
  int64_t used_ = 0, with_memory_ = 0;  // places from the first on; the loading thread's own
  bool ends_ = false;
  std::thread thread_;
};

/// Holds a place: while it lives, the place keeps its adapter.
class PinnedRow {
 public:
  PinnedRow(std::shared_ptr<ResidentBank> bank, int64_t place) : bank_(std::move(bank)), place_(place) {}
  ~PinnedRow() { bank_->unpin(place_); }
  PinnedRow(const PinnedRow&) = delete;
  PinnedRow& operator=(const PinnedRow&) = delete;

  bool ready() const;  // loaded, or failed: wait() returns or throws at once
  /// Until the row is there. Throws the loader's Error.
  void wait() const;
  /// In set() of the bank. To be used once wait() has returned.
  int64_t slot() const { return place_; }

 private:
  std::shared_ptr<ResidentBank> bank_;
  int64_t place_;
};

}  // namespace loraxs
