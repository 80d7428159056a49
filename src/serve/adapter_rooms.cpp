#include "serve/adapter_rooms.h"

#include <algorithm>
#include <utility>

#include "adapt/adapter_record.h"
#include "adapt/method.h"
#include "api/opened_adapter.h"
#include "io/error.h"

namespace loraxs {

namespace {

/// No server has room for it, however it is started: what it takes off the base would be missing for all.
void refuse_residual(const AdapterFile& file) {
  if (!find_method(file.method, file.path.string()).traits.residual) return;
  throw Error(concat(file.path.string(), ": expected adapters on the base as it is, found one of ", file.method,
                     ", which changes the base for all; serve the model that loraxs merge makes of it, or store the "
                     "LoRA that loraxs export --format peft and loraxs import make of it"));
}

}  // namespace

AdapterRooms::AdapterRooms(const BaseModel& model, Store* store, RoomOptions options, const Settings& settings)
    : model_(model), options_(std::move(options)) {
  const auto tell = [&](const Error& error) {
    if (settings.log) settings.log(LogLevel::kWarning, concat("not served: ", error.what()));
  };
  std::vector<Opened> found;
  if (store != nullptr) found = kinds_of(*store, settings.log);
  const Opened* widest = nullptr;
  for (const Opened& each : found) {
    if (reads_basis(each.file) && (widest == nullptr || each.layout.largest_rank() > widest->layout.largest_rank())) {
      widest = &each;
    }
  }
  const std::vector<Site> sites = sites_of(found);
  if (sites.empty()) {
    basis_ = std::make_shared<Basis>();
  } else {
    BasisRecipe recipe = widest != nullptr ? widest->file.basis : BasisRecipe{.rank = options_.max_rank};
    recipe.rank = std::max(recipe.rank, options_.max_rank);
    const std::filesystem::path file =
        widest != nullptr ? basis_file_of(widest->file, options_.basis_file, settings.cache) : options_.basis_file;
    basis_ = basis_for(model_, sites, recipe, file, settings);
  }
  if (options_.max_rank > 0) {
    // An encoder's adapters bring heads: one is reserved, whatever its classes.
    const bool labels = model_.architecture->kind == ModelKind::kEncoder;
    const HeadLayout head =
        labels ? make_head("full", 2, /*regression=*/false, *model_.architecture, "--max-rank") : HeadLayout{};
    room_of(std::make_shared<const Layout>(
        make_layout("lora_xs", sites, options_.max_rank, head, model_.config.hidden_size, "--max-rank")));
  }
  for (const Opened& each : found) {
    try {
      check_basis(each.file, each.layout);
      room_of(std::make_shared<const Layout>(each.layout));
    } catch (const Error& error) {
      tell(error);
    }
  }
  reserved_ = Reservation::of(set().banks);
}

/// Those that stand on this base; adapters of others may be in the same store, for other servers.
std::vector<AdapterRooms::Opened> AdapterRooms::kinds_of(Store& store, const LogSink& log) const {
  const std::string where = store.url().text;
  std::vector<Opened> found;
  for (const Digest& digest : store.shared_digests(SharedKind::kKind)) {
    const auto text = store.shared(SharedKind::kKind, digest);
    if (!text) continue;
    try {
      Opened opened = open_kind(parse_kind(*text, where), where);
      if (opened.file.base_id != model_.base_id && !options_.accept_base) continue;
      refuse_residual(opened.file);
      found.push_back(std::move(opened));
    } catch (const Error& error) {
      if (log) log(LogLevel::kWarning, concat("not served: ", error.what()));
    }
  }
  return found;
}

/// Every site that a kind reads the basis at, or that --max-rank reserves.
std::vector<Site> AdapterRooms::sites_of(const std::vector<Opened>& found) const {
  std::vector<Site> sites;
  const auto add = [&](const std::vector<Site>& more) {
    for (const Site& site : more) {
      if (std::find(sites.begin(), sites.end(), site) == sites.end()) sites.push_back(site);
    }
  };
  for (const Opened& each : found) {
    if (reads_basis(each.file)) add(each.layout.sites);
  }
  if (options_.max_rank > 0) {
    add(select_sites(*model_.architecture, model_.config, {"all-linear"}, "--max-rank"));
  }
  return sites;
}

/// An adapter of the kind, whatever its row and its classes are called. A kind keeps no names of classes, and a layout
/// without them is a regression's, which has one output; a classification has two at least.
AdapterRooms::Opened AdapterRooms::open_kind(const nlohmann::json& json, const std::string& where) const {
  nlohmann::json layout_json = json.value("layout", nlohmann::json::object());
  nlohmann::json entry = {{"max_length", 0}};
  const auto outputs = layout_json.value("outputs", int64_t{0});
  for (int64_t i = 0; outputs > 1 && i < outputs; ++i) entry["labels"].push_back(std::to_string(i));
  if (entry.contains("labels")) layout_json["labels"] = entry["labels"];
  Layout layout = layout_from_json(layout_json, *model_.architecture, model_.config, where);
  std::vector<float> row(static_cast<size_t>(layout.row_size));
  return {.file = adapter_of(where, json, entry, std::move(row)), .layout = std::move(layout)};
}

const AdapterRooms::Kind& AdapterRooms::kind(const Digest& digest, const std::string& where,
                                             const std::function<std::string()>& text) {
  const std::string name = digest_hex(digest);
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = kinds_.find(name); known != kinds_.end()) return known->second;
  }
  Kind kind{.json = parse_kind(text(), where)};
  try {
    const AdapterFile file = open_kind(kind.json, where).file;
    kind.layout = open(file);
    kind.alpha = file.alpha;
    kind.room = room_of(kind.layout);
  } catch (const Error& error) {
    kind.error = error.what();
  }
  const std::lock_guard lock(mutex_);
  return kinds_.emplace(name, std::move(kind)).first->second;
}

std::shared_ptr<const Layout> AdapterRooms::open(const AdapterFile& file) const {
  refuse_residual(file);
  auto layout = std::make_shared<const Layout>(resolve_layout(file, model_, options_.accept_base));
  check_reserved(*layout);
  check_basis(file, *layout);
  return layout;
}

void AdapterRooms::check_basis(const AdapterFile& file, const Layout& layout) const {
  if (reads_basis(file)) {
    BasisRecipe mine = file.basis, ours = basis_->recipe;
    mine.rank = ours.rank = 0;
    if (!(mine == ours)) {
      throw Error(concat(file.path.string(),
                         ": expected an adapter on the kind of basis that is served, found another variant; a server "
                         "has one basis"));
    }
  }
  open_adapter(file, layout, *basis_);  // its fingerprint
}

void AdapterRooms::check_reserved(const Layout& layout) const {
  if (!reserved_) return;
  try {
    reserved_->check(layout);
  } catch (const Error& error) {
    const std::string hint =
        layout.method == "lora_xs" ? concat(", or with --max-rank ", layout.largest_rank()) : std::string();
    throw Error(concat(error.what(), ": start the server anew, once it is in the store", hint));
  }
}

size_t AdapterRooms::room_of(const std::shared_ptr<const Layout>& layout) {
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

AdapterSet AdapterRooms::set() const {
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

size_t AdapterRooms::num_rooms() const {
  const std::lock_guard lock(mutex_);
  return rooms_.size();
}

std::shared_ptr<ResidentBank> AdapterRooms::bank_of(size_t room) const {
  const std::lock_guard lock(mutex_);
  return rooms_.at(room).bank;
}

std::shared_ptr<const PinnedRow> AdapterRooms::pin(size_t room, const std::string& key, const RowLoader& load) const {
  return bank_of(room)->pin(key, load);
}

bool AdapterRooms::holds(size_t room, const std::string& key) const { return bank_of(room)->holds(key); }

int64_t AdapterRooms::capacity(size_t room) const { return bank_of(room)->capacity(); }

int64_t AdapterRooms::slot_of(size_t room, const PinnedRow& pin) const {
  const std::lock_guard lock(mutex_);
  return rooms_.at(room).first_slot + pin.slot();
}

AdapterRooms::Residents AdapterRooms::residents() const {
  const std::lock_guard lock(mutex_);
  Residents all;
  for (const Room& room : rooms_) {
    all.rows += room.bank->num_resident();
    all.capacity += room.bank->capacity();
    all.loads += room.bank->num_loads();
  }
  return all;
}

}  // namespace loraxs
