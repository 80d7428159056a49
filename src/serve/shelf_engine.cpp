#include "serve/shelf_engine.h"

#include "io/error.h"

namespace loraxs {

std::vector<int32_t> ShelfEngine::encode_text(const std::string& text, bool add_special) const {
  return tokenizer().encode_text(text, {.add_special = add_special, .parse_special = true});
}

std::string ShelfEngine::decode(const std::vector<int32_t>& ids) const {
  return tokenizer().decode(ids, /*skip_special=*/false);
}

void ShelfEngine::open_shelf(const BaseModel& base, const ShelfOptions& options, const Settings& settings) {
  shelf_ = std::make_unique<ModelShelf>(base, options, settings);
  turns_ = std::make_unique<RowTurns>(*shelf_);
}

ApiError ShelfEngine::failure(const ServedModel& model, const std::string& error) {
  if (model.large_factor.empty()) return {500, error};
  return {400, concat("model: ", error, "; the largest factor of the sum is ", model.large_factor), "model"};
}

ApiError ShelfEngine::loading_failure() {
  try {
    throw;
  } catch (const ApiError& told) {
    return told;
  } catch (const std::exception& error) {
    return {500, error.what()};
  }
}

ShelfEngine::Entry ShelfEngine::enter(const std::string& tenant) {
  const std::lock_guard lock(mutex_);
  int64_t& queued = queued_[tenant];
  if (queued >= max_waiting_) {
    ApiError full(429, concat("too many requests: expected at most ", max_waiting_, " of one tenant under way"), "",
                  "rate_limit_exceeded");
    full.retry_after = 1;
    throw ApiError(full);
  }
  return {.id = next_id_++, .alone = ++queued == 1};
}

void ShelfEngine::leave(const std::string& tenant) {
  const std::lock_guard lock(mutex_);
  const auto queued = queued_.find(tenant);
  if (queued != queued_.end() && --queued->second == 0) queued_.erase(queued);
}

void ShelfEngine::publish(const std::function<void(EngineState&)>& change) {
  const AdapterRooms::Residents residents = shelf_->rooms().residents();
  const std::lock_guard lock(mutex_);
  change(state_);
  state_.model = shelf_->base_name();
  state_.resident_rows = residents.rows;
  state_.resident_capacity = residents.capacity;
  state_.row_loads = residents.loads;
}

EngineState ShelfEngine::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

}  // namespace loraxs
