#include "serve/model_shelf.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <set>
#include <utility>

#include "adapt/adapter_record.h"
#include "adapt/combine.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/json.h"
#include "io/memory_file.h"
#include "io/sha256.h"
#include "ops/worker_threads.h"
#include "serve/row_sum.h"
#include "store/row_numbers.h"

namespace loraxs {
namespace {

constexpr const char* kBase = "base";

int64_t seconds_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

bool is_sum(const std::string& name) {
  return name.find('*') != std::string::npos || name.find(" + ") != std::string::npos ||
         name.find(" - ") != std::string::npos;
}

/// All that a model's numbers depend on beside the base: two rows of equal bytes differ in alpha or layout.
std::string key_of(const std::string& kind_digest, const std::string& row_digest) {
  return concat(kind_digest, ":", row_digest);
}

BankEntry bank_entry(double alpha, const std::vector<std::string>& labels) {
  return {.alpha = alpha,
          .classes = labels.empty() ? nullptr : std::make_shared<const std::vector<std::string>>(labels)};
}

std::string number_text(double weight) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", weight);
  return text;
}

/// What is wrong with a sum is wrong with the request's model.
template <typename Make>
auto of_the_model(const Make& make) {
  try {
    return make();
  } catch (const ApiError&) {
    throw;
  } catch (const Error& error) {
    throw ApiError(400, concat("model: ", error.what()), "model");
  }
}

}  // namespace

/// A row on its way into a room, and what stands beside it there.
class ModelShelf::RowModel final : public ServedModel {
 public:
  size_t room = 0;
  std::shared_ptr<const Layout> layout;
  double alpha = 0;
  RowLoader load;
};

ModelShelf::ModelShelf(const BaseModel& model, const ShelfOptions& options, const Settings& settings)
    : log_(settings.log),
      base_name_(
          (std::filesystem::is_directory(model.folder) ? model.folder.filename() : model.folder.stem()).string()),
      started_(seconds_now()),
      store_(options.store.empty()
                 ? nullptr
                 : std::make_shared<AskedStore>(open_store(parse_store_url(options.store)), settings.log)),
      rooms_(model, store_ ? &store_->patient() : nullptr, options.rooms, settings) {
  if (base_name_.empty()) base_name_ = model.folder.parent_path().filename().string();
}

std::shared_ptr<const PinnedRow> ModelShelf::pin(const ServedModel& model) const {
  const auto& row = dynamic_cast<const RowModel&>(model);
  return rooms_.pin(row.room, row.key, row.load);
}

size_t ModelShelf::room_of(const ServedModel& model) const { return dynamic_cast<const RowModel&>(model).room; }

int64_t ModelShelf::slot_of(const ServedModel& model, const PinnedRow& pin) const {
  return rooms_.slot_of(room_of(model), pin);
}

std::shared_ptr<ModelShelf::RowModel> ModelShelf::make_model(std::string id, std::string key, size_t room,
                                                             std::shared_ptr<const Layout> layout, double alpha,
                                                             const std::vector<std::string>& labels) {
  auto model = std::make_shared<RowModel>();
  model->id = std::move(id);
  model->key = std::move(key);
  model->head = layout->head.kind;
  model->regression = layout->head.kind != "none" && labels.empty();
  model->labels = labels;
  model->room = room;
  model->layout = std::move(layout);
  model->alpha = alpha;
  return model;
}

// What another tenant has, and what nobody has, is the same answer: it does not exist.
void ModelShelf::fail_unknown(const Caller& caller, const std::string& text) const {
  std::string hint;
  const size_t slash = text.find('/');
  const std::string tenant = slash == std::string::npos ? caller.tenant : text.substr(0, slash);
  if (store_ && !tenant.empty() && sees(caller, tenant) && is_adapter_name({tenant, "x"})) {
    std::vector<std::string> known = {kBase};
    const auto of_tenant = store_->ask([tenant](Store& store) { return store.list({.tenant = tenant}); });
    for (const RowInfo& each : of_tenant) known.push_back(tenant + "/" + each.name.name);
    if (const auto near = nearest_name(text.substr(0, text.find('@')), known)) hint = concat("; is ", *near, " meant?");
  }
  throw ApiError(404, concat("model: the model ", text, " does not exist", hint), "model", "model_not_found");
}

std::optional<ModelShelf::Version> ModelShelf::parse(const Caller& caller, const std::string& text) const {
  Version found;
  std::string path = text;
  if (const size_t at = path.find('@'); at != std::string::npos) {
    const std::string digits = path.substr(at + 1);
    constexpr size_t kDigits = 18;
    const bool number = !digits.empty() && digits.size() <= kDigits && digits.front() != '0' &&
                        std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!number) return std::nullopt;
    found.version = std::stoull(digits);
    path.resize(at);
  }
  const size_t slash = path.find('/');
  if (slash == std::string::npos) return std::nullopt;
  found.name = {path.substr(0, slash), path.substr(slash + 1)};
  if (!store_ || !is_adapter_name(found.name) || !sees(caller, found.name.tenant)) return std::nullopt;
  return found;
}

std::optional<StoredVersion> ModelShelf::read(const Caller& caller, const std::string& text, bool* current) const {
  const std::optional<Version> asked = parse(caller, text);
  if (!asked) return std::nullopt;
  const auto look_up = [asked = *asked, known = known_, number = known_->begin()](Store& store) {
    std::optional<StoredVersion> found;
    store.read(asked.name, asked.version, [&](const RowValue& value) {
      found = {
          .name = asked.name, .header = value.header, .tail = std::string(value.tail), .row_bytes = value.row.size()};
    });
    known->learn(asked.name, asked.version, number, found);
    return found;
  };
  std::optional<StoredVersion> last;
  if (current != nullptr) last = known_->find(asked->name, asked->version);
  if (!last) return store_->ask(look_up);
  if (auto found = store_->ask_briefly(look_up)) return *found;
  *current = false;
  return last;
}

std::shared_ptr<const ModelShelf::RowModel> ModelShelf::stored(const Caller& caller, const std::string& text,
                                                               bool* current) {
  const std::optional<StoredVersion> entry = read(caller, text, current);
  if (!entry) fail_unknown(caller, text);
  const auto& [name, header, tail, row_bytes] = *entry;
  const std::string where = concat(name.tenant, "/", name.name, "@", header.version);
  const AdapterRooms::Kind& kind = rooms_.kind(header.kind, where, [&] {
    auto json =
        store_->ask([digest = entry->header.kind](Store& store) { return store.shared(SharedKind::kKind, digest); });
    if (!json) throw Error(concat(where, ": damaged: its kind is not there"));
    return *json;
  });
  if (!kind.error.empty()) throw ApiError(400, concat(where, ": ", kind.error), "model");
  const AdapterFile file = adapter_of(where, kind.json, parse_json(tail, where, {.bytes = kTailBytes}), {});
  auto model = make_model(where, key_of(digest_hex(header.kind), digest_hex(header.row_digest)), kind.room, kind.layout,
                          kind.alpha, file.labels);
  model->max_length = file.provenance.max_length;
  // Into numbers of its own: a call that was given up must not write into a place that is another's by then.
  const auto read_row = [name = name, header = header, where](Store& store) {
    std::optional<std::vector<float>> row;
    store.read(name, header.version, [&](const RowValue& value) {
      if (value.header.row_digest != header.row_digest || value.header.numbers != header.numbers) {
        throw Error(concat(where, ": expected the row that was asked for, found another"));
      }
      row.emplace(header.numbers);
      decode_row(value.header.dtype, value.row, *row);
    });
    return row;
  };
  model->load = [store = store_, read_row, where,
                 beside = bank_entry(kind.alpha, file.labels)](std::span<float> place) {
    const auto row = store->ask_for_a_row(read_row);
    if (!row) throw Error(concat(where, ": was deleted while a request waited for it"));
    if (row->size() != place.size()) {
      throw Error(concat(where, ": expected ", place.size(), " numbers, found ", row->size()));
    }
    std::copy(row->begin(), row->end(), place.begin());
    return beside;
  };
  return model;
}

std::shared_ptr<const ModelShelf::RowModel> ModelShelf::sum(const Caller& caller, const std::string& expression,
                                                            bool* current) {
  constexpr size_t kTerms = 16;
  const std::vector<CombineTerm> terms = of_the_model([&] { return parse_combination(expression); });
  if (terms.size() > kTerms) {
    throw ApiError(400, concat("model: expected a sum of at most ", kTerms, " models, found ", terms.size()), "model");
  }
  auto parts = std::make_shared<std::vector<SummedRow>>();
  int64_t max_length = 0;
  std::string id, named;
  double largest = 1;
  std::string large_factor;
  for (const CombineTerm& term : terms) {
    if (term.is_mean) throw ApiError(400, "model: expected names of models in a sum, found mean()", "model");
    constexpr double kMost = std::numeric_limits<float>::max();
    if (!(std::abs(term.weight) <= kMost)) {
      throw ApiError(400,
                     concat("model: expected factors of at most ", kMost, ", found ", term.weight, " of ", term.name),
                     "model");
    }
    const std::shared_ptr<const RowModel> part = stored(caller, term.name, current);
    parts->push_back({.layout = part->layout,
                      .alpha = part->alpha,
                      .labels = part->labels,
                      .load = part->load,
                      .weight = term.weight});
    if (parts->size() == 1) max_length = part->max_length;
    if (std::abs(term.weight) > largest) {
      largest = std::abs(term.weight);
      large_factor = concat(term.weight, " of ", part->id);
    }
    id += concat(id.empty() ? "" : " + ", term.weight, "*", part->id);
    named += concat(number_text(term.weight), "*", part->key, ";");
  }
  const Bank form = of_the_model([&] { return form_of_sum(*parts); });
  auto model = make_model(id, sha256_hex(concat("sum;", named)), rooms_.room_of(form.layout), form.layout,
                          form.alpha(0), form.labels(0));
  model->max_length = max_length;
  model->large_factor = large_factor;
  model->load = [parts, size = form.layout->row_size, large_factor](std::span<float> row) {
    const WithoutWorkers alone;
    const Bank whole = sum_of_rows(*parts);
    const torch::Tensor values = whole.values.select(0, 0).contiguous();
    if (!values.isfinite().all().item<bool>()) {
      throw ApiError(400,
                     concat("model: expected finite numbers in the sum, found infinity or NaN",
                            large_factor.empty() ? "" : "; the largest factor is ", large_factor),
                     "model");
    }
    std::copy_n(values.const_data_ptr<float>(), static_cast<size_t>(size), row.begin());
    return whole.entries.front();
  };
  return model;
}

ServedModelPtr ModelShelf::find(const Caller& caller, const std::string& name) {
  if (name == kBase || name == base_name_) {
    auto base = std::make_shared<ServedModel>();
    base->id = name;
    base->head = "none";
    return base;
  }
  return find_row(caller, name);
}

std::shared_ptr<const ModelShelf::RowModel> ModelShelf::named(const Caller& caller, const std::string& name,
                                                              bool* current) {
  return is_sum(name) ? sum(caller, name, current) : stored(caller, name, current);
}

std::shared_ptr<const ModelShelf::RowModel> ModelShelf::find_row(const Caller& caller, const std::string& name) {
  const WithoutWorkers alone;
  bool current = true;
  auto found = named(caller, name, &current);
  if (current || rooms_.holds(found->room, found->key)) return found;
  return named(caller, name, nullptr);  // its row must come from the store anyway
}

ServedModelPtr ModelShelf::adopt(const std::string& bytes) {
  const WithoutWorkers alone;
  const MemoryFile memory("adapter", bytes);
  auto file = std::make_shared<AdapterFile>();
  std::shared_ptr<const Layout> layout;
  size_t room = 0;
  try {
    *file = read_adapter(memory.path());
    file->path = "adapter";
    layout = rooms_.open(*file);
    room = rooms_.room_of(layout);
  } catch (const Error& error) {
    std::string said = error.what();
    if (const size_t at = said.find(memory.path()); at != std::string::npos) {
      said.replace(at, memory.path().size(), "adapter");
    }
    throw ApiError(400, said, "adapter");
  }
  const std::string key = key_of(sha256_hex(kind_text(kind_of(*file))), file->row_digest);
  auto model = make_model("adapter", key, room, std::move(layout), file->alpha, file->labels);
  model->max_length = file->provenance.max_length;
  model->load = [file](std::span<float> row) {
    std::copy(file->row.begin(), file->row.end(), row.begin());
    return bank_entry(file->alpha, file->labels);
  };
  return model;
}

ModelInfo ModelShelf::base_info() const { return {.id = kBase, .root = base_name_, .created = started_}; }

ModelInfo ModelShelf::info_of(const StoredVersion& entry) const {
  constexpr int64_t kMicroseconds = 1'000'000;
  const auto& [name, header, tail, row_bytes] = entry;
  ModelInfo info{.id = name.tenant + "/" + name.name,
                 .parent = base_name_,
                 .root = concat(name.tenant, "/", name.name, "@", header.version),
                 .created = header.created / kMicroseconds,
                 .version = header.version,
                 .row_bytes = static_cast<int64_t>(row_bytes)};
  const nlohmann::json own = json_or_null(tail);
  if (own.is_object()) {
    if (const auto task = own.find("task"); task != own.end() && task->is_string()) info.task = *task;
    if (const auto labels = own.find("labels"); labels != own.end() && labels->is_array()) {
      for (const auto& label : *labels) {
        info.labels.push_back(label.is_string() ? label.get<std::string>() : label.dump());
      }
    }
  }
  const std::lock_guard lock(mutex_);
  info.pinned = kept_.contains(info.id);
  return info;
}

std::vector<ModelInfo> ModelShelf::list(const Caller& caller, const std::string& after, int64_t limit) {
  std::vector<ModelInfo> models;
  if (after.empty()) models.push_back(base_info());
  if (!store_ || (caller.tenant.empty() && !caller.sees_all)) return models;
  ListQuery query{.tenant = caller.sees_all ? "" : caller.tenant, .limit = static_cast<std::size_t>(limit)};
  if (const size_t slash = after.find('/'); slash != std::string::npos) {
    query.after = {after.substr(0, slash), after.substr(slash + 1)};
  }
  for (const RowInfo& each : store_->ask([query](Store& store) { return store.list(query); })) {
    if (static_cast<int64_t>(models.size()) == limit) break;
    models.push_back(info_of({each.name, each.header, each.tail, each.row_bytes}));
  }
  return models;
}

std::optional<ModelInfo> ModelShelf::info(const Caller& caller, const std::string& name) {
  if (name == kBase || name == base_name_) return base_info();
  const std::optional<StoredVersion> entry = read(caller, name);
  return entry ? std::optional(info_of(*entry)) : std::nullopt;
}

void ModelShelf::remove(const Caller& caller, const std::string& name) {
  const std::optional<Version> asked = parse(caller, name);
  if (!asked || !read(caller, name)) fail_unknown(caller, name);
  store_->ask([asked = *asked](Store& store) { return store.remove(asked.name, asked.version); });
  known_->forget(asked->name);
  const std::lock_guard lock(mutex_);
  kept_.erase(asked->name.tenant + "/" + asked->name.name);
}

/// With the mutex. Throws ApiError where the adapter's tenant keeps as many as it may, or where requests would have no
/// place left.
void ModelShelf::check_kept(const Caller& caller, const std::string& name, const RowModel& model) const {
  constexpr int kTooMany = 429, kConflict = 409;
  const std::string tenant = name.substr(0, name.find('/'));
  const auto is_tenants = [&](const auto& each) { return each.first.starts_with(tenant + "/"); };
  if (caller.adapters > 0 && !kept_.contains(name) &&
      std::count_if(kept_.begin(), kept_.end(), is_tenants) >= caller.adapters) {
    throw ApiError(kTooMany,
                   concat("expected at most ", caller.adapters, " adapters of ", tenant,
                          " kept in memory, found more; unload one"),
                   "lora_name", "too_many_adapters");
  }
  std::set<std::string> keys = {model.key};
  for (const auto& [other, kept] : kept_) {
    if (kept.room == model.room && other != name) keys.insert(kept.key);
  }
  const int64_t places = rooms_.capacity(model.room);
  if (std::ssize(keys) < places) return;
  throw ApiError(
      kConflict,
      concat("lora_name: expected at most ", places - 1, " kept adapters of this layout, one fewer than --resident-",
             "rows or --resident-mb hold, found ", keys.size(), "; unload one, or give the server more room"),
      "lora_name", "too_many_adapters");
}

void ModelShelf::keep(const Caller& caller, const std::string& name, bool pinned) {
  if (is_sum(name)) fail_unknown(caller, name);
  const auto model = find_row(caller, name);
  const std::string key = name.substr(0, name.find('@'));
  if (!pinned) {
    const std::lock_guard lock(mutex_);
    kept_.erase(key);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    const auto kept = kept_.find(key);
    if (kept != kept_.end() && kept->second.key == model->key && kept->second.row) return;
    check_kept(caller, key, *model);
    kept_[key] = {.room = model->room, .key = model->key};  // another version goes
  }
  try {
    auto row = pin(*model);
    if (!row) {
      ApiError busy(503, "all places for adapters are in use; try again", "lora_name");
      busy.retry_after = 1;
      throw ApiError(busy);
    }
    row->wait();
    const std::lock_guard lock(mutex_);
    if (const auto kept = kept_.find(key); kept != kept_.end()) kept->second.row = std::move(row);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    kept_.erase(key);
    throw;
  }
}

}  // namespace loraxs
