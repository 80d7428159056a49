// serve/asked_store.h: a store as a server asks it for its clients.
#pragma once
#include <atomic>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "io/error.h"
#include "io/log.h"
#include "serve/api_error.h"
#include "serve/store_calls.h"
#include "store/store.h"

namespace loraxs {

/// What the store says of itself (its host, its file) is the operator's to read; clients hear that it does not answer.
/// A store on a network has deadlines (StoreCalls); one on a disk is read at once. Handlers of requests are few: while
/// the store is slow, one of them waits for it and the others go on. Thread-safe.
class AskedStore {
 public:
  AskedStore(std::shared_ptr<Store> store, LogSink log) : store_(std::move(store)), log_(std::move(log)) {
    if (store_->url().scheme == StoreScheme::kPostgresql) calls_ = std::make_unique<StoreCalls>();
  }

  /// As it is, for who waits as long as it takes.
  Store& patient() { return *store_; }
  /// What `call`(Store&) returns. It owns all that it touches. Throws ApiError: 503 where the store does not answer, or
  /// is slow and another waits.
  template <typename Call>
  auto ask(Call call) -> std::invoke_result_t<Call&, Store&> {
    const Waiting waiting(*this);
    if (waiting.others > 0 && calls_ && calls_->slow()) throw store_away();
    return ask_for_a_row(std::move(call));
  }
  /// The same on a thread that no other request waits for.
  template <typename Call>
  auto ask_for_a_row(Call call) -> std::invoke_result_t<Call&, Store&> {
    try {
      if (!calls_) return call(*store_);
      return calls_->ask([store = store_, call = std::move(call)]() mutable { return call(*store); });
    } catch (const ApiError&) {
      throw;
    } catch (const Error& error) {
      tell(error);
      throw store_away();
    }
  }
  /// The same for who can do without: none where the store does not answer at once (StoreCalls::ask_briefly).
  template <typename Call>
  auto ask_briefly(Call call) -> std::optional<std::invoke_result_t<Call&, Store&>> {
    try {
      if (!calls_) return call(*store_);
      return calls_->ask_briefly([store = store_, call = std::move(call)]() mutable { return call(*store); });
    } catch (const Error& error) {
      tell(error);
      return std::nullopt;
    }
  }

 private:
  struct Waiting {
    explicit Waiting(AskedStore& store) : store(store), others(store.waiting_++) {}
    ~Waiting() { --store.waiting_; }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    AskedStore& store;
    const int others;
  };
  void tell(const Error& error) const {
    if (log_) log_(LogLevel::kWarning, concat("store: ", error.what()));
  }

  std::shared_ptr<Store> store_;
  LogSink log_;
  std::unique_ptr<StoreCalls> calls_;  // null: none of its calls hangs
  std::atomic<int> waiting_ = 0;
};

}  // namespace loraxs
