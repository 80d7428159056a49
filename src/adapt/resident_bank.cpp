#include "adapt/resident_bank.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "io/error.h"

namespace loraxs {
namespace {

/// As an error says it: "lora_xs on 12 sites of rank 4 at most, head full of 2 outputs".
std::string kind_name(const Layout& layout) {
  std::string name =
      concat(layout.method, " on ", layout.sites.size(), " sites of rank ", layout.largest_rank(), " at most");
  if (layout.head.kind != "none") name += concat(", head ", layout.head.kind, " of ", layout.head.outputs, " outputs");
  return name;
}

constexpr size_t kPageBytes = 4096;
constexpr std::chrono::milliseconds kRest{1};  // before memory is taken ahead: who waits for the last row goes on first

/// Asks for pages of 2 MB where there are such: a row then meets few page faults, and few misses of the TLB later.
void ask_for_large_pages([[maybe_unused]] const torch::Tensor& values) {
#ifdef MADV_HUGEPAGE
  auto* const first = static_cast<char*>(values.mutable_data_ptr());
  const size_t past_a_page = reinterpret_cast<uintptr_t>(first) % kPageBytes;
  const size_t skipped = past_a_page == 0 ? 0 : kPageBytes - past_a_page;
  if (values.nbytes() > skipped) madvise(first + skipped, values.nbytes() - skipped, MADV_HUGEPAGE);
#endif
}

}  // namespace

void ResidentKind::check(const std::string& adapter, const Layout& other, const std::string& other_basis_id) const {
  if (other_basis_id != basis_id) {
    throw Error(concat(adapter, ": expected an adapter on basis ", basis_id.substr(0, 16),
                       ", that of the rows in use, ", "found one on ",
                       other_basis_id.empty() ? "none" : other_basis_id.substr(0, 16),
                       "; adapters on different bases never share a batch"));
  }
  if (other == *layout) return;
  for (size_t i = 0; i < other.sites.size() && other.method == layout->method; ++i) {
    const auto mine = std::find(layout->sites.begin(), layout->sites.end(), other.sites[i]);
    const auto place = static_cast<size_t>(mine - layout->sites.begin());
    if (mine != layout->sites.end() && other.ranks[i] <= layout->ranks[place]) continue;
    throw Error(concat(adapter, ": ", other.sites[i].name, ": expected ",
                       mine == layout->sites.end() ? "no adapter" : concat("rank ", layout->ranks[place]),
                       ", for which rows are reserved, found rank ", other.ranks[i], "; reserve rows of its layout"));
  }
  throw Error(concat(adapter, ": expected ", kind_name(*layout), ", the layout of the rows in use, found ",
                     kind_name(other), "; rows of another layout need a bank of their own"));
}

ResidentBank::ResidentBank(ResidentKind kind, int64_t bytes, torch::Device device) : kind_(std::move(kind)) {
  const int64_t row_bytes = kind_.layout->row_size * static_cast<int64_t>(sizeof(float));
  const int64_t places = row_bytes > 0 ? bytes / row_bytes : 0;
  if (places < 1) {
    throw Error(concat("resident rows: expected a budget of at least ", row_bytes, " bytes, which one row of ",
                       kind_name(*kind_.layout), " takes, found ", bytes));
  }
  bank_ = std::make_shared<Bank>(Bank{.layout = kind_.layout, .entries = std::vector<BankEntry>(places)});
  bank_->values = torch::empty({places, kind_.layout->row_size}, torch::TensorOptions().device(device));
  if (device.is_cpu()) {
    ask_for_large_pages(bank_->values);
  } else {
    staging_.resize(kind_.layout->row_size);
  }
  places_.resize(places);
  for (int64_t place = 0; place < places; ++place) places_[place].idle = idle_.insert(idle_.end(), place);
  by_digest_.reserve(places);
  thread_ = std::thread([this] { run_loads(); });
}

ResidentBank::~ResidentBank() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  asked_.notify_all();
  thread_.join();
}

std::shared_ptr<const PinnedRow> ResidentBank::pin(const std::string& digest, RowLoader load) {
  int64_t place = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = by_digest_.find(digest);
    if (found == by_digest_.end() && idle_.empty()) return nullptr;
    place = found == by_digest_.end() ? idle_.front() : found->second;
    Place& taken = places_[place];
    if (taken.idle) idle_.erase(*std::exchange(taken.idle, std::nullopt));
    ++taken.pins;
    if (found == by_digest_.end()) {
      if (!taken.digest.empty()) by_digest_.erase(taken.digest);
      taken.digest = digest;
      taken.error = nullptr;
      taken.state = State::kLoading;
      by_digest_.emplace(digest, place);
      loads_.push_back({.place = place, .load = std::move(load)});
    }
  }
  asked_.notify_one();
  return std::make_shared<const PinnedRow>(shared_from_this(), place);
}

bool ResidentBank::holds(const std::string& digest) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_digest_.find(digest);
  return found != by_digest_.end() && places_[found->second].state == State::kReady;
}

int64_t ResidentBank::num_loads() const {
  const std::lock_guard lock(mutex_);
  return num_loads_;
}

int64_t ResidentBank::num_resident() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(by_digest_.size());
}

void ResidentBank::unpin(int64_t place) {
  const std::lock_guard lock(mutex_);
  if (--places_[place].pins == 0 && places_[place].state != State::kLoading) rest(place);
}

void ResidentBank::rest(int64_t place) {
  Place& resting = places_[place];
  resting.idle = idle_.insert(resting.state == State::kReady ? idle_.end() : idle_.begin(), place);
}

void ResidentBank::run_loads() {
  std::unique_lock lock(mutex_);
  const auto has_work = [&] { return ends_ || !loads_.empty(); };
  while (true) {
    const bool needs_memory = staging_.empty() && with_memory_ < std::min(capacity(), used_ + 1);
    if (needs_memory && !asked_.wait_for(lock, kRest, has_work)) {
      lock.unlock();
      take_memory(with_memory_++);
      lock.lock();
      continue;
    }
    asked_.wait(lock, has_work);
    if (ends_) return;
    Load next = std::move(loads_.front());
    loads_.pop_front();
    used_ = std::max(used_, next.place + 1);
    with_memory_ = std::max(with_memory_, used_);
    lock.unlock();
    std::exception_ptr error = load_into(next.place, next.load);  // nobody reads a place that is loading
    next.load = nullptr;                                          // what it holds may let go of a pin
    lock.lock();
    Place& place = places_[next.place];
    place.state = error == nullptr ? State::kReady : State::kFailed;
    if (error == nullptr) {
      ++num_loads_;
    } else {  // who asks again loads again
      by_digest_.erase(std::exchange(place.digest, {}));
      place.error = std::move(error);
    }
    if (place.pins == 0) rest(next.place);
    loaded_.notify_all();
  }
}

void ResidentBank::take_memory(int64_t place) {
  const size_t row_bytes = static_cast<size_t>(kind_.layout->row_size) * sizeof(float);
  volatile char* row = static_cast<char*>(bank_->values.mutable_data_ptr()) + static_cast<size_t>(place) * row_bytes;
  for (size_t at = 0; at < row_bytes; at += kPageBytes) row[at] = 0;
  row[row_bytes - 1] = 0;  // rows begin and end within pages
}

std::exception_ptr ResidentBank::load_into(int64_t place, const RowLoader& load) {
  const bool direct = staging_.empty();
  const auto size = static_cast<size_t>(kind_.layout->row_size);
  float* row = direct ? bank_->values.mutable_data_ptr<float>() + place * kind_.layout->row_size : staging_.data();
  try {
    bank_->entries[place] = load(std::span(row, size));
    if (!direct) {
      bank_->values.select(0, place).copy_(torch::from_blob(row, {kind_.layout->row_size}, torch::kFloat32));
    }
    return nullptr;
  } catch (const Error&) {
    return std::current_exception();
  } catch (const std::exception& error) {
    const std::string said = error.what();
    return std::make_exception_ptr(Error(said.empty() ? "the row could not be loaded" : said));
  }
}

bool PinnedRow::ready() const {
  const std::lock_guard lock(bank_->mutex_);
  return bank_->places_[place_].state != ResidentBank::State::kLoading;
}

void PinnedRow::wait() const {
  std::unique_lock lock(bank_->mutex_);
  const ResidentBank::Place& place = bank_->places_[place_];
  bank_->loaded_.wait(lock, [&] { return place.state != ResidentBank::State::kLoading; });
  if (place.state == ResidentBank::State::kFailed) std::rethrow_exception(place.error);
}

}  // namespace loraxs
