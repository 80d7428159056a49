// serve/asked_store.h: a store as a server asks it for its clients.
#pragma once
#include <memory>
#include <type_traits>
#include <utility>

#include "io/error.h"
#include "io/log.h"
#include "serve/api_error.h"
#include "serve/store_calls.h"
#include "store/store.h"

namespace loraxs {

/// What the store says of itself (its host, its file) is the operator's to read; clients hear that it does not answer.
/// A store on a network has deadlines (StoreCalls); one on a disk is read at once. Thread-safe.
class AskedStore {
 public:
  AskedStore(std::shared_ptr<Store> store, LogSink log) : store_(std::move(store)), log_(std::move(log)) {
    if (store_->url().scheme == StoreScheme::kPostgresql) calls_ = std::make_unique<StoreCalls>();
  }

  /// As it is, for who waits as long as it takes.
  Store& patient() { return *store_; }
  /// What `call`(Store&) returns. It owns all that it touches. Throws ApiError: 503 where the store does not answer.
  template <typename Call>
  auto ask(Call call) -> std::invoke_result_t<Call&, Store&> {
    try {
      if (!calls_) return call(*store_);
      return calls_->ask([store = store_, call = std::move(call)]() mutable { return call(*store); });
    } catch (const ApiError&) {
      throw;
    } catch (const Error& error) {
      if (log_) log_(LogLevel::kWarning, concat("store: ", error.what()));
      throw store_away();
    }
  }

 private:
  std::shared_ptr<Store> store_;
  LogSink log_;
  std::unique_ptr<StoreCalls> calls_;  // null: none of its calls hangs
};

}  // namespace loraxs
