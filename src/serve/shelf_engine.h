// serve/shelf_engine.h: what the engines of decoders and encoders share: a shelf of models, a tokenizer, queues that
// are bounded, and what they tell of themselves.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "serve/answering.h"
#include "serve/model_shelf.h"
#include "serve/row_turns.h"
#include "text/tokenizer.h"

namespace loraxs {

class ShelfEngine : public Answering {
 public:
  std::string base_name() const override { return shelf_->base_name(); }
  ServedModelPtr find(const Caller& caller, const std::string& name) override { return shelf_->find(caller, name); }
  ServedModelPtr adopt(const Caller&, std::string file) override { return shelf_->adopt(file); }
  std::vector<ModelInfo> list(const Caller& caller, const std::string& after, int64_t limit) override {
    return shelf_->list(caller, after, limit);
  }
  std::optional<ModelInfo> info(const Caller& caller, const std::string& name) override {
    return shelf_->info(caller, name);
  }
  void remove(const Caller& caller, const std::string& name) override { shelf_->remove(caller, name); }
  void keep(const Caller& caller, const std::string& name, bool pinned) override { shelf_->keep(caller, name, pinned); }

  std::vector<int32_t> encode_text(const std::string& text, bool add_special) const override;
  std::string decode(const std::vector<int32_t>& ids) const override;
  std::string token_text(int32_t id) const override { return decode({id}); }

  EngineState state() const override;

 protected:
  explicit ShelfEngine(int64_t max_waiting) : max_waiting_(max_waiting) {}
  virtual const Tokenizer& tokenizer() const = 0;

  /// Sets shelf_ and turns_, once the model is open.
  void open_shelf(const BaseModel& base, const ShelfOptions& options, const Settings& settings);
  /// What the client is told of an answer to `model` that failed.
  static ApiError failure(const ServedModel& model, const std::string& error);
  /// The exception under way, of a row that could not be loaded.
  static ApiError loading_failure();
  struct Entry {
    int64_t id = 0;
    bool alone = false;  // the tenant has no other request under way
  };
  /// Counts a request of the tenant. Throws ApiError 429 where as many as may wait have not ended.
  Entry enter(const std::string& tenant);
  void leave(const std::string& tenant);
  /// Changes what state() says, and adds what the shelf knows.
  void publish(const std::function<void(EngineState&)>& change);

  std::unique_ptr<ModelShelf> shelf_;
  std::unique_ptr<RowTurns> turns_;  // of the engine's thread

 private:
  int64_t max_waiting_;
  mutable std::mutex mutex_;  // of what follows
  EngineState state_;
  std::map<std::string, int64_t> queued_;  // requests of each tenant that have not ended
  int64_t next_id_ = 1;
};

}  // namespace loraxs
