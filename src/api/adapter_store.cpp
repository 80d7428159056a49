#include "api/adapter_store.h"

#include "adapt/adapter_record.h"
#include "api/adapter_folder.h"
#include "api/store.h"
#include "io/error.h"
#include "io/json.h"
#include "store/reference.h"

namespace loraxs {

AdapterStore::AdapterStore(const std::string& url, const BaseModel& model, std::shared_ptr<const Basis> basis)
    : store_(open_store(parse_store_url(url), OpenStore::kCreate)), model_(model), basis_(std::move(basis)) {}

void AdapterStore::put(std::span<const FinishedRow> rows) {
  std::vector<AdapterFile> adapters;
  adapters.reserve(rows.size());
  for (const FinishedRow& row : rows) {
    adapters.push_back(adapter_of(bank_of(row), 0, model_, *basis_, row.provenance));
  }
  std::vector<NamedAdapter> named;
  named.reserve(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    named.push_back({.name = {rows[i].tenant, rows[i].name}, .adapter = &adapters[i]});
  }
  put_adapters(*store_, named);
}

std::optional<AdapterFile> AdapterStore::get(const std::string& reference) {
  const StoreReference place = parse_store_reference(store_->url().text + "#" + reference);
  const AdapterName name = place.adapter();
  if (!store_->read(name, place.version, [](const RowValue&) {})) return std::nullopt;
  return get_adapter(*store_, name, place.version);
}

nlohmann::json AdapterStore::summary_of(const std::string& title) {
  nlohmann::json training;
  const size_t slash = title.find('/');
  try {
    store_->read({title.substr(0, slash), title.substr(slash + 1)}, 0, [&](const RowValue& value) {
      const nlohmann::json entry = json_or_null(value.tail);
      if (entry.is_object()) training = entry.value("training", nlohmann::json());
    });
  } catch (const Error&) {  // a damaged row is trained again, which heals it
    return nullptr;
  }
  return training.is_string() ? json_or_null(training.get<std::string>()) : training;
}

std::vector<std::string> AdapterStore::list(const std::string& prefix) {
  const size_t slash = prefix.find('/');
  const bool all_tenants = slash == std::string::npos;
  std::vector<std::string> names;
  ListQuery query;
  if (!all_tenants) {
    query.tenant = prefix.substr(0, slash);
    query.prefix = prefix.substr(slash + 1);
  }
  while (true) {
    const std::vector<RowInfo> page = store_->list(query);
    for (const RowInfo& info : page) {
      std::string title = info.name.tenant + "/" + info.name.name;
      if (title.starts_with(prefix)) names.push_back(std::move(title));
    }
    if (page.size() < query.limit) return names;
    query.after = page.back().name;
  }
}

std::optional<std::string> AdapterStore::title_of(const std::filesystem::path& adapter) {
  if (!is_store_url(adapter.string())) return std::nullopt;
  const StoreReference place = parse_store_reference(adapter.string());
  // An LMDB store has one object, however its folder is spelled; a database has its URL.
  const bool same = place.url.text == store_->url().text ||
                    (place.url.scheme == StoreScheme::kLmdb && open_store(place.url) == store_);
  if (!same) return std::nullopt;
  const AdapterName name = place.adapter();
  return concat(name.tenant, "/", name.name, place.version > 0 ? concat("@", place.version) : "");
}

}  // namespace loraxs
