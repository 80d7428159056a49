#include "serve/model_shelf.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <utility>

#include "adapt/adapter_record.h"
#include "adapt/combine.h"
#include "adapt/method.h"
#include "api/opened_adapter.h"
#include "io/error.h"
#include "io/fields.h"
#include "io/json.h"
#include "io/sha256.h"
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

/// A file of memory alone: what came with a request is never written to a disk.
class MemoryFile {
 public:
  explicit MemoryFile(const std::string& bytes) : file_(::memfd_create("adapter", MFD_CLOEXEC)) {
    if (file_ < 0) throw std::bad_alloc();
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t wrote = ::write(file_, bytes.data() + done, bytes.size() - done);
      if (wrote < 0) {
        ::close(file_);
        throw std::bad_alloc();
      }
      done += static_cast<size_t>(wrote);
    }
  }
  ~MemoryFile() { ::close(file_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return concat("/proc/self/fd/", file_); }

 private:
  int file_;
};

/// An adapter of the kind, whatever its row: for the checks that rows do not decide.
AdapterFile adapter_of_kind(const std::string& where, const nlohmann::json& kind, const Layout& layout) {
  nlohmann::json entry = {{"max_length", 0}};
  if (layout.head.kind != "none" && !layout.head.regression) {
    for (int64_t i = 0; i < layout.head.outputs; ++i) entry["labels"].push_back(std::to_string(i));
  }
  return adapter_of(where, kind, entry, std::vector<float>(static_cast<size_t>(layout.row_size)));
}

/// A kind keeps no labels, and a layout without them is a regression's: `labels` of an adapter of it, as many as
/// outputs, tell them apart.
Layout layout_of_kind(const nlohmann::json& kind, const nlohmann::json& labels, const BaseModel& model,
                      const std::string& where) {
  nlohmann::json layout = kind.value("layout", nlohmann::json::object());
  if (!labels.is_null()) layout["labels"] = labels;
  return layout_from_json(layout, *model.architecture, model.config, where);
}

/// What the store says of itself (its host, its file) is the operator's to read; clients hear that it does not answer.
template <typename Ask>
auto from_store(const LogSink& log, const Ask& ask) {
  try {
    return ask();
  } catch (const ApiError&) {
    throw;
  } catch (const Error& error) {
    if (log) log(LogLevel::kWarning, concat("store: ", error.what()));
    ApiError away(503, "the store of adapters does not answer; try again", "", "store_unavailable");
    away.retry_after = 1;
    throw ApiError(away);
  }
}

std::string number_text(double weight) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", weight);
  return text;
}

}  // namespace

/// A row on its way into a bank, and what the bank keeps beside it.
class ModelShelf::RowModel final : public ServedModel {
 public:
  size_t room = 0;
  RowLoader load;
  double alpha = 0;
  std::shared_ptr<const Layout> layout;
};

ModelShelf::ModelShelf(const BaseModel& model, ShelfOptions options, const Settings& settings)
    : model_(model),
      options_(std::move(options)),
      log_(settings.log),
      base_name_(
          (std::filesystem::is_directory(model.folder) ? model.folder.filename() : model.folder.stem()).string()),
      started_(seconds_now()) {
  if (base_name_.empty()) base_name_ = model.folder.parent_path().filename().string();
  if (!options_.store.empty()) store_ = open_store(parse_store_url(options_.store));
  prepare_basis(settings);
}

/// Opens what the store holds and finds one basis for all of it.
void ModelShelf::prepare_basis(const Settings& settings) {
  const std::string where = store_ ? store_->url().text : "";
  struct Found {
    AdapterFile file;
    Layout layout;
  };
  std::vector<Found> found;
  const Found* widest = nullptr;
  if (store_) {
    // One adapter of each kind tells the labels that its layout needs.
    for (const Digest& digest : store_->shared_digests(SharedKind::kKind)) {
      try {
        const auto text = store_->shared(SharedKind::kKind, digest);
        if (!text) continue;
        nlohmann::json kind = parse_kind(*text, where);
        const int64_t outputs = kind.value("layout", nlohmann::json::object()).value("outputs", int64_t{0});
        nlohmann::json labels;
        for (int64_t i = 0; i < outputs; ++i) labels.push_back(std::to_string(i));
        Layout layout = layout_of_kind(kind, labels, model_, where);
        AdapterFile file = adapter_of_kind(where, kind, layout);
        if (file.base_id != model_.base_id && !options_.accept_base) continue;  // of other bases, served elsewhere
        if (find_method(file.method, where).traits.residual) continue;          // changes the base for all
        found.push_back({std::move(file), std::move(layout)});
      } catch (const Error& error) {
        if (settings.log) settings.log(LogLevel::kWarning, concat("not served: ", error.what()));
      }
    }
  }
  for (const Found& each : found) {
    if (reads_basis(each.file) && (widest == nullptr || each.layout.largest_rank() > widest->layout.largest_rank())) {
      widest = &each;
    }
  }
  std::vector<Site> sites;
  BasisRecipe recipe = widest != nullptr ? widest->file.basis : BasisRecipe{.rank = options_.max_rank};
  recipe.rank = std::max(recipe.rank, options_.max_rank);
  const auto add = [&](const std::vector<Site>& more) {
    for (const Site& site : more) {
      if (std::find(sites.begin(), sites.end(), site) == sites.end()) sites.push_back(site);
    }
  };
  for (const Found& each : found) {
    if (reads_basis(each.file)) add(each.layout.sites);
  }
  Layout room_for_all;
  if (options_.max_rank > 0) {
    add(select_sites(*model_.architecture, model_.config, {"all-linear"}, "--max-rank"));
    // An encoder's adapters bring heads: one is reserved, whatever its classes.
    const bool labels = model_.architecture->kind == ModelKind::kEncoder;
    const HeadLayout head =
        labels ? make_head("full", 2, /*regression=*/false, *model_.architecture, "--max-rank") : HeadLayout{};
    room_for_all = make_layout("lora_xs", sites, options_.max_rank, head, model_.config.hidden_size, "--max-rank");
  }
  basis_ = sites.empty()
               ? std::make_shared<Basis>()
               : basis_for(model_, sites, recipe,
                           widest != nullptr ? basis_file_of(widest->file, options_.basis_file, settings.cache)
                                             : options_.basis_file,
                           settings);
  std::vector<std::shared_ptr<const Layout>> layouts;
  if (options_.max_rank > 0) layouts.push_back(std::make_shared<const Layout>(std::move(room_for_all)));
  for (const Found& each : found) {
    try {
      check_served(each.file, each.layout);
      layouts.push_back(std::make_shared<const Layout>(each.layout));
    } catch (const Error& error) {
      if (settings.log) settings.log(LogLevel::kWarning, concat("not served: ", error.what()));
    }
  }
  for (const auto& layout : layouts) room_of(layout);
  reserved_ = Reservation::of(set().banks);
}

/// Throws Error where adapters of the kind do not stand on the basis there is.
void ModelShelf::check_served(const AdapterFile& file, const Layout& layout) const {
  if (find_method(file.method, file.path.string()).traits.residual) {
    throw Error(concat(file.path.string(), ": expected adapters on the base as it is, found one of ", file.method,
                       ", which changes the base for all; merge it and serve it alone"));
  }
  if (reads_basis(file)) {
    BasisRecipe mine = file.basis, ours = basis_->recipe;
    mine.rank = ours.rank = 0;
    if (basis_->sites.empty() || !(mine == ours)) {
      throw Error(concat(file.path.string(), ": expected an adapter on the basis that is served, found another ",
                         basis_->sites.empty() ? "(none is)" : "variant",
                         "; start the server anew, or with --max-rank, where it came later"));
    }
  }
  open_adapter(file, layout, *basis_);  // its fingerprint
}

ModelShelf::Kind ModelShelf::open_kind(nlohmann::json json, const std::string& where) const {
  Kind kind{.json = std::move(json)};
  try {
    const int64_t outputs = kind.json.value("layout", nlohmann::json::object()).value("outputs", int64_t{0});
    nlohmann::json labels;
    for (int64_t i = 0; i < outputs; ++i) labels.push_back(std::to_string(i));
    Layout layout = layout_of_kind(kind.json, labels, model_, where);
    const AdapterFile file = adapter_of_kind(where, kind.json, layout);
    resolve_layout(file, model_, options_.accept_base);
    check_reserved(layout);
    check_served(file, layout);
    kind.alpha = file.alpha;
    kind.layout = std::make_shared<const Layout>(std::move(layout));
  } catch (const Error& error) {
    kind.error = error.what();
  }
  return kind;
}

const ModelShelf::Kind& ModelShelf::kind_of(const Digest& digest, const std::string& where) {
  const std::string name = digest_hex(digest);
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = kinds_.find(name); known != kinds_.end()) return known->second;
  }
  const auto text = from_store(log_, [&] { return store_->shared(SharedKind::kKind, digest); });
  if (!text) throw Error(concat(where, ": damaged: its kind ", name.substr(0, 16), "… is not there"));
  Kind kind = open_kind(parse_kind(*text, where), where);
  if (kind.error.empty()) {
    try {
      kind.bank = room_of(kind.layout);
    } catch (const Error& error) {
      kind.error = error.what();
    }
  }
  const std::lock_guard lock(mutex_);
  return kinds_.emplace(name, std::move(kind)).first->second;
}

/// Throws Error, from the start on, where the base is not prepared for a layout.
void ModelShelf::check_reserved(const Layout& layout) const {
  if (!reserved_) return;
  try {
    reserved_->check(layout);
  } catch (const Error& error) {
    throw Error(concat(error.what(), ": start the server anew, or with --max-rank ", layout.largest_rank()));
  }
}

/// The bank of a layout, made where there is none yet. Throws Error where the base is not prepared for it.
size_t ModelShelf::room_of(const std::shared_ptr<const Layout>& layout) {
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < rooms_.size(); ++i) {
    if (*rooms_[i].bank->kind().layout == *layout) return i;
  }
  check_reserved(*layout);
  const int64_t row_bytes = layout->row_size * static_cast<int64_t>(sizeof(float));
  const int64_t bytes =
      options_.resident_rows > 0 ? options_.resident_rows * row_bytes : std::max(options_.resident_bytes, row_bytes);
  const int64_t first = rooms_.empty() ? 0 : rooms_.back().first_slot + rooms_.back().bank->capacity();
  const ResidentKind kind{.layout = layout, .basis_id = basis_->basis_id};
  rooms_.push_back({std::make_shared<ResidentBank>(kind, bytes, options_.device), first});
  return rooms_.size() - 1;
}

AdapterSet ModelShelf::set() const {
  const std::lock_guard lock(mutex_);
  AdapterSet all;
  for (const Room& room : rooms_) {
    const AdapterSet of_room = room.bank->set();
    const auto index = static_cast<int64_t>(all.banks.size());
    all.banks.push_back(of_room.banks.front());
    for (int64_t row = 0; row < room.bank->capacity(); ++row) all.slots.push_back({.bank = index, .row = row});
  }
  return all;
}

size_t ModelShelf::num_banks() const {
  const std::lock_guard lock(mutex_);
  return rooms_.size();
}

std::shared_ptr<const PinnedRow> ModelShelf::pin(const ServedModel& model) const {
  const auto* row = dynamic_cast<const RowModel*>(&model);
  if (row == nullptr) return nullptr;
  std::shared_ptr<ResidentBank> bank;
  {
    const std::lock_guard lock(mutex_);
    bank = rooms_[row->room].bank;
  }
  return bank->pin(row->row_digest, row->load);
}

int64_t ModelShelf::slot_of(const ServedModel& model, const PinnedRow& pin) const {
  const auto& row = dynamic_cast<const RowModel&>(model);
  const std::lock_guard lock(mutex_);
  return rooms_[row.room].first_slot + pin.slot();
}

ModelShelf::Residents ModelShelf::residents() const {
  const std::lock_guard lock(mutex_);
  Residents all;
  for (const Room& room : rooms_) {
    all.rows += room.bank->num_resident();
    all.capacity += room.bank->capacity();
    all.loads += room.bank->num_loads();
  }
  return all;
}

// What another tenant has, and what nobody has, is the same answer: it does not exist.
void ModelShelf::fail_unknown(const Caller& caller, const std::string& text) const {
  std::string hint;
  const size_t slash = text.find('/');
  const std::string tenant = slash == std::string::npos ? caller.tenant : text.substr(0, slash);
  if (store_ && !tenant.empty() && sees(caller, tenant) && is_adapter_name({tenant, "x"})) {
    std::vector<std::string> known = {kBase};
    for (const RowInfo& each : from_store(log_, [&] { return store_->list({.tenant = tenant}); }))
      known.push_back(tenant + "/" + each.name.name);
    if (const auto near = nearest_name(text.substr(0, text.find('@')), known)) hint = concat("; is ", *near, " meant?");
  }
  throw ApiError(404, concat("model: the model ", text, " does not exist", hint), "model", "model_not_found");
}

AdapterName ModelShelf::name_of(const Caller& caller, const std::string& text, uint64_t& version) const {
  std::string path = text;
  version = 0;
  if (const size_t at = path.find('@'); at != std::string::npos) {
    const std::string digits = path.substr(at + 1);
    constexpr size_t kDigits = 18;
    const bool number = !digits.empty() && digits.size() <= kDigits && digits.front() != '0' &&
                        std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!number) fail_unknown(caller, text);
    version = std::stoull(digits);
    path.resize(at);
  }
  const size_t slash = path.find('/');
  if (slash == std::string::npos) fail_unknown(caller, text);
  AdapterName name{path.substr(0, slash), path.substr(slash + 1)};
  if (!store_ || !is_adapter_name(name) || !sees(caller, name.tenant)) fail_unknown(caller, text);
  return name;
}

std::shared_ptr<const ModelShelf::RowModel> ModelShelf::stored(const Caller& caller, const std::string& text) {
  uint64_t version = 0;
  const AdapterName name = name_of(caller, text, version);
  RowHeader header;
  std::string tail;
  const auto take = [&](const RowValue& value) {
    header = value.header;
    tail = value.tail;
  };
  if (!from_store(log_, [&] { return store_->read(name, version, take); })) fail_unknown(caller, text);
  const std::string where = concat(name.tenant, "/", name.name, "@", header.version);
  const Kind& kind = kind_of(header.kind, where);
  if (!kind.error.empty()) throw ApiError(400, concat(where, ": ", kind.error), "model");
  const AdapterFile file = adapter_of(where, kind.json, parse_json(tail, where, {.bytes = kTailBytes}), {});
  auto model = std::make_shared<RowModel>();
  model->id = where;
  model->row_digest = digest_hex(header.row_digest);
  model->head = kind.layout->head.kind;
  model->regression = kind.layout->head.kind != "none" && file.labels.empty();
  model->labels = file.labels;
  model->max_length = file.provenance.max_length;
  model->room = kind.bank;
  model->layout = kind.layout;
  model->alpha = kind.alpha;
  auto classes = file.labels.empty() ? nullptr : std::make_shared<const std::vector<std::string>>(file.labels);
  const auto load = [store = store_, name, version = header.version, digest = header.row_digest, where,
                     alpha = kind.alpha, classes, log = log_](std::span<float> row) {
    const auto take_row = [&](const RowValue& value) {
      if (value.header.row_digest != digest || value.header.numbers != row.size()) {
        throw Error(concat(where, ": expected the row that was asked for, found another"));
      }
      decode_row(value.header.dtype, value.row, row);
    };
    const bool there = from_store(log, [&] { return store->read(name, version, take_row); });
    if (!there) throw Error(concat(where, ": was deleted while a request waited for it"));
    return BankEntry{.alpha = alpha, .classes = classes};
  };
  model->load = load;
  return model;
}

std::shared_ptr<const ModelShelf::RowModel> ModelShelf::sum(const Caller& caller, const std::string& expression) {
  constexpr size_t kTerms = 16;
  const std::vector<CombineTerm> terms = parse_combination(expression);
  if (terms.size() > kTerms) {
    throw ApiError(400, concat("model: expected a sum of at most ", kTerms, " models, found ", terms.size()), "model");
  }
  struct Part {
    std::shared_ptr<const RowModel> model;
    double weight = 0;
  };
  auto parts = std::make_shared<std::vector<Part>>();
  std::string id, named;
  for (const CombineTerm& term : terms) {
    if (term.is_mean) throw ApiError(400, "model: expected names of models in a sum, found mean()", "model");
    parts->push_back({stored(caller, term.name), term.weight});
    id += concat(id.empty() ? "" : " + ", term.weight, "*", parts->back().model->id);
    named += concat(number_text(term.weight), "*", parts->back().model->row_digest, ";");
  }
  // The sum of rows brought in for it; `shape` alone: of zeros, which tells its layout.
  const auto combined = [parts](bool shape) {
    std::vector<Bank> banks;
    banks.reserve(parts->size());
    std::vector<CombineInput> inputs;
    for (const Part& part : *parts) {
      banks.push_back(make_bank(part.model->layout, part.model->alpha, 1));
      Bank& bank = banks.back();
      if (shape) {
        bank.entries.front() = {.alpha = part.model->alpha};
        bank.set_labels(0, part.model->labels);
      } else {
        bank.entries.front() =
            part.model->load({bank.values.mutable_data_ptr<float>(), static_cast<size_t>(bank.values.numel())});
      }
      inputs.push_back({.bank = &bank, .row = 0, .weight = part.weight});
    }
    return combine(inputs, {});
  };
  const Bank form = combined(/*shape=*/true);
  auto model = std::make_shared<RowModel>();
  model->id = id;
  model->row_digest = sha256_hex(concat("sum;", named));
  model->layout = form.layout;
  model->alpha = form.alpha(0);
  model->labels = form.labels(0);
  model->head = form.layout->head.kind;
  model->regression = form.layout->head.kind != "none" && model->labels.empty();
  model->max_length = parts->front().model->max_length;
  model->room = room_of(form.layout);
  model->load = [combined, size = form.layout->row_size](std::span<float> row) {
    const Bank whole = combined(/*shape=*/false);
    const torch::Tensor values = whole.values.select(0, 0).contiguous();
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
  return is_sum(name) ? sum(caller, name) : stored(caller, name);
}

ServedModelPtr ModelShelf::adopt(const std::string& bytes) {
  const MemoryFile memory(bytes);
  auto file = std::make_shared<AdapterFile>();
  Layout layout;
  try {
    *file = read_adapter(memory.path());
    file->path = "adapter";
    layout = resolve_layout(*file, model_, options_.accept_base);
    check_reserved(layout);
    check_served(*file, layout);
  } catch (const Error& error) {
    std::string said = error.what();
    if (const size_t at = said.find(memory.path()); at != std::string::npos)
      said.replace(at, memory.path().size(), "adapter");
    throw ApiError(400, said, "adapter");
  }
  auto model = std::make_shared<RowModel>();
  model->id = "adapter";
  model->row_digest = file->row_digest;
  model->head = layout.head.kind;
  model->labels = file->labels;
  model->regression = layout.head.kind != "none" && file->labels.empty();
  model->max_length = file->provenance.max_length;
  model->layout = std::make_shared<const Layout>(std::move(layout));
  model->alpha = file->alpha;
  model->room = room_of(model->layout);
  model->load = [file](std::span<float> row) {
    std::copy(file->row.begin(), file->row.end(), row.begin());
    return BankEntry{
        .alpha = file->alpha,
        .classes = file->labels.empty() ? nullptr : std::make_shared<const std::vector<std::string>>(file->labels)};
  };
  return model;
}

ModelInfo ModelShelf::base_info() const { return {.id = kBase, .root = base_name_, .created = started_}; }

ModelInfo ModelShelf::info_of(const AdapterName& name, const RowHeader& header, size_t row_bytes,
                              const std::string& tail) const {
  constexpr int64_t kMicroseconds = 1'000'000;
  ModelInfo info{.id = name.tenant + "/" + name.name,
                 .parent = base_name_,
                 .root = concat(name.tenant, "/", name.name, "@", header.version),
                 .created = header.created / kMicroseconds,
                 .version = header.version,
                 .row_bytes = static_cast<int64_t>(row_bytes)};
  const nlohmann::json entry = json_or_null(tail);
  if (entry.is_object()) {
    if (const auto task = entry.find("task"); task != entry.end() && task->is_string()) info.task = *task;
    if (const auto labels = entry.find("labels"); labels != entry.end() && labels->is_array()) {
      for (const auto& label : *labels)
        info.labels.push_back(label.is_string() ? label.get<std::string>() : label.dump());
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
  for (const RowInfo& each : from_store(log_, [&] { return store_->list(query); })) {
    if (static_cast<int64_t>(models.size()) == limit) break;
    models.push_back(info_of(each.name, each.header, each.row_bytes, each.tail));
  }
  return models;
}

std::optional<ModelInfo> ModelShelf::info(const Caller& caller, const std::string& name) {
  if (name == kBase || name == base_name_) return base_info();
  uint64_t version = 0;
  AdapterName place;
  try {
    place = name_of(caller, name, version);
  } catch (const ApiError&) {
    return std::nullopt;
  }
  std::optional<ModelInfo> info;
  RowHeader header;
  std::string tail;
  size_t bytes = 0;
  const auto take = [&](const RowValue& value) {
    header = value.header;
    tail = value.tail;
    bytes = value.row.size();
  };
  if (from_store(log_, [&] { return store_->read(place, version, take); })) info = info_of(place, header, bytes, tail);
  return info;
}

void ModelShelf::remove(const Caller& caller, const std::string& name) {
  uint64_t version = 0;
  const AdapterName place = name_of(caller, name, version);
  const auto there = [&] { return store_->read(place, version, [](const RowValue&) {}); };
  if (!from_store(log_, there)) fail_unknown(caller, name);
  from_store(log_, [&] { return store_->remove(place, version); });
  const std::lock_guard lock(mutex_);
  kept_.erase(place.tenant + "/" + place.name);
}

void ModelShelf::keep(const Caller& caller, const std::string& name, bool pinned) {
  const auto model = stored(caller, name);
  const std::string key = name.substr(0, name.find('@'));
  if (!pinned) {
    const std::lock_guard lock(mutex_);
    kept_.erase(key);
    return;
  }
  auto row = pin(*model);
  if (!row) throw ApiError(503, "all places for adapters are in use; try again", "lora_name");
  row->wait();
  const std::lock_guard lock(mutex_);
  kept_[key] = std::move(row);
}

}  // namespace loraxs
